"""What real models know: levels by domain beside published ones, or by relation."""

from functools import partial
from typing import Any

import streamlit as st

from pages._ui import panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.links import page_link
from pages._ui.real_models import real_reads
from pages._ui.studies import model_panels
from pages._ui.titles import model_name
from pages._ui.wording import literal
from sftqa_core.evaluation.real_tables import FULL
from sftqa_core.figures.levels import level_shares_figure
from sftqa_core.figures.style import FEW
from sftqa_core.reports import real_words

_WAYS = {FULL: "full probe", "likelihood": "likelihood (an estimate)"}
_BY = {"domain": "domain", "relation": "relation"}


def known(ways: dict[str, resources.Tables]) -> None:
    """The chart with its pickers, and which levels are nearly empty."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = pickers.linked_choice("Measured by", list(ways), "measured", lambda name: _WAYS.get(name, name), help=pickers.METHOD_HELP)
        by = pickers.linked_choice("By", list(_BY), "by", _BY.__getitem__)
    tables = ways[way]
    labels = tuple(dict.fromkeys(tables["levels"]["level"]))
    if by == "domain":
        model_panels.shares(tables, labels)
    else:
        _by_relation(tables, labels, way)
    for name in dict.fromkeys(tables["levels"]["model"]):
        if words := real_words.thin(tables["levels"], name, way):
            st.caption(f"**{literal(model_name(name))}**: {literal(words)}")
    missing = [about.name for about in real_reads.cards() if about.name not in set(tables["levels"]["model"])]
    if missing:
        st.caption(f"By this way nothing is measured yet of {literal(', '.join(map(model_name, missing)))}.")


@panels.piece
def _by_relation(tables: resources.Tables, labels: tuple[str, ...], way: str) -> None:
    levels = tables["levels"]
    model = pick_model(list(dict.fromkeys(levels["model"])))
    rows = levels[(levels["model"] == model) & (levels["by"] == "relation")]
    wide = rows.pivot(index="group", columns="level", values="facts")[list(labels)]
    order = (wide.mul(range(len(labels)), axis=1).sum(axis=1) / wide.sum(axis=1)).sort_values(ascending=False).index
    names = resources.relation_labels()
    groups = {names.get(relation, relation): wide.loc[relation].astype(int).tolist() for relation in order}
    figure = partial(level_shares_figure, groups, labels, 30)
    draw(figure, key="real-relations", alt="Facts by level for each relation", of=(tables, model))
    few = sum(sum(counts) < FEW for counts in groups.values())
    if few:
        st.caption(f"{few:,} of {len(groups):,} relations have fewer than {FEW} facts here: too few to tell about any one of them.")
    to = {"model": model, "source": real_words.FACTS, "by": "relation", **({} if way == FULL else {"method": way})}
    page_link("pages/memory.py", "Look at the facts on Memory", "real-memory-facts", icon=":material/psychology:", to=to)


def pick_model(names: list[Any]) -> str:
    """One of these models, kept in the address."""
    return pickers.linked("Model", names, "model", model_name)
