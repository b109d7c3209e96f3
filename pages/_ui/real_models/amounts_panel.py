"""What a few examples do to real models, beside examples in the prompt; and what the models and facts are."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import panels
from pages._ui.columns import draw_table
from pages._ui.links import page_link
from pages._ui.real_models.ways_panel import said
from pages._ui.studies import study_panels
from pages._ui.titles import model_name
from pages._ui.wording import literal
from sftqa_core.figures.curves import amount_figure
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.reports import real_words

_LEVEL = "as facts come"


def amounts(found: Any) -> None:
    """Curves of the models whose study is finished, what can be told, and the numbers."""
    st.subheader("What do 60 examples do?", anchor=False)
    curve, shown, stages = (found.tables[name] for name in ("curve", "in_context", "tuned"))
    if len(curve):
        beside = shown if len(shown) else None
        study_panels.draw_by_domain(
            curve, "real-amount", "Accuracy against examples, all test facts as they come",
            lambda domain: amount_figure(curve, domain, _LEVEL, in_context=beside), found,
        )  # fmt: skip
        dashed = " Dashed: the base model with 4 examples in the prompt." if beside is not None else ""
        st.caption(f"All test facts as they come (micro average); points are seeds, bars 95% intervals.{dashed}")
    for about in found.models:
        study = found.studies.get(about.name)
        words = list(real_words.tuned(found.tables["beside_shown"], stages, about.name))
        if study is None or not study.finished:
            words.append(real_words.NOT_TUNED if study is None else real_words.unfinished(study.done, study.planned))
        words += [real_words.tuned_by(study.settings)] if study is not None else []
        said(about.name, words)
        if study is not None:
            _links(about.name, study)
    _rates(found)
    if len(stages):
        rows = real_words.enough(stages)
        rows = rows.assign(domain=rows["domain"].map(DOMAIN_NAMES))
        panels.folded(
            "Before, with examples in the prompt, and after", "stages", ":material/table:",
            lambda: draw_table(rows, real_words.TITLES["tuned"], name="before and after"), opened=True,
        )  # fmt: skip
        st.caption(
            "All facts as they come, and levels with 30 facts or more. Intervals of differences are over facts and seeds, corrected (Holm) "
            "over all of them together."
        )
        draw_table(found.tables["beside_shown"].assign(domain=lambda table: table["domain"].map(DOMAIN_NAMES)),
                   real_words.TITLES["beside_shown"], name="tuning less examples in the prompt")  # fmt: skip


def _rates(found: Any) -> None:
    """How the learning rates were chosen: on dev facts, a table a model; nothing where no sweep ships."""
    swept = {name: sweeps for name, sweeps in found.rates.items() if sweeps}
    if not swept:
        return

    def draw_rates() -> None:
        for name, sweeps in swept.items():
            said(name, list(real_words.rates(sweeps)))
            draw_table(real_words.rates_table(sweeps), real_words.TITLES["rates"], name=f"learning rates of {name}")

    panels.folded("Learning rates, chosen on dev facts", "rates", ":material/tune:", draw_rates)


def _links(model: str, study: Any) -> None:
    """The study's own page, its cells side by side, and the levels behind it."""
    with st.container(horizontal=True, gap="medium"):
        to = {"study": study.name, "model": model}
        page_link("pages/how_much_data.py", "How much data?", f"amount-{model}", icon=":material/stacked_line_chart:", to=to)
        if study.cells:
            compared = {"runs": ",".join(study.cells), "pool": "1"}
            page_link("pages/compare.py", "Compare, fact by fact", f"compare-{model}", icon=":material/compare_arrows:", to=compared)
        to = {"model": model, "source": real_words.FACTS}
        page_link("pages/memory.py", "Memory", f"memory-{model}", icon=":material/psychology:", to=to)


def sources(cards: list[Any]) -> None:
    """Which files the models are, under which licence; what the facts are; and that nothing was planted."""
    st.subheader("What these models and facts are", anchor=False)
    st.info(f"**Found, not planted.** {real_words.PLANTED}", icon=":material/public:")
    rows = [
        (model_name(about.name), about.title, about.parameters, about.quantisation, about.licence, about.file, about.sha256)
        for about in cards
    ]
    table = pd.DataFrame(rows, columns=["model", "what it is", "parameters", "rounded to", "licence", "file", "SHA-256"])
    draw_table(table, name="models")
    st.caption(
        f"The files' weights are not part of this program; what was measured with them is. Facts: {literal(real_words.SOURCE)}, a part of "
        "every relation, chosen by a hash. Models this small, rounded to about 4 bits, say nothing of large ones."
    )
