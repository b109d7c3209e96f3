"""Every number behind a run's charts. Apart from these: the first chart of the Overview is drawn without pandas."""

import pandas as pd

from pages._ui.columns import draw_table
from pages._ui.downloads import csv_button
from sftqa_core.records import RunSummary

TITLES = {"low": "Wilson low", "high": "Wilson high"}


def accuracy_table(summary: RunSummary, name: str) -> None:
    """One row a stage, domain and level, to read and to download as a file of that name."""
    stages = {"before": summary.before, "after": summary.after, **summary.baselines}
    table = pd.DataFrame(
        [
            {"stage": stage, "domain": domain, **level.to_dict()}
            for stage, domains in stages.items()
            for domain, accuracy in domains.items()
            for level in accuracy.per_level
        ]
    )
    draw_table(table, TITLES)
    csv_button("Download the numbers", table, name, "numbers-csv")
