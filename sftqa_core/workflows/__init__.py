"""The verbs: what pages, command line and jobs all call. Importing this loads neither torch nor pandas.

`reading` looks things up, `forecast` tells what work will cost, `work` does it.
"""

from sftqa_core.workflows.agreement import trust
from sftqa_core.workflows.forecast import forecast
from sftqa_core.workflows.parts import run_part
from sftqa_core.workflows.reading import (
    add_upload,
    alias_rows,
    completions,
    default_learning_rate,
    download,
    facts,
    models,
    profile,
    recipes,
    run,
    runs,
    save_aliases,
    sources,
)
from sftqa_core.workflows.work import pretrain, probe, run_job, select, train

__all__ = [
    "add_upload",
    "alias_rows",
    "completions",
    "default_learning_rate",
    "download",
    "facts",
    "forecast",
    "models",
    "pretrain",
    "probe",
    "profile",
    "recipes",
    "run",
    "run_job",
    "run_part",
    "runs",
    "save_aliases",
    "select",
    "sources",
    "train",
    "trust",
]
