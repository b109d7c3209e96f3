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
from sftqa_core.records import DOMAIN_NAMES
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
    counted = {about.name: _counted(tables["levels"], about.name, way) for about in real_reads.cards()}
    st.caption("  \n".join(f"**{literal(name)}**: {literal(words)}" for name, words in counted.items()))


def _counted(levels: Any, model: str, way: str) -> str:
    """How many facts were measured by this way, and which levels hold too few."""
    rows = levels[(levels["model"] == model) & (levels["by"] == "domain")]
    if not len(rows):
        return "nothing is measured by this way yet."
    facts = " and ".join(f"{of:,} {DOMAIN_NAMES[domain]}" for domain, of in rows.groupby("domain", sort=False)["of"].first().items())
    more = filter(None, (words(levels, model, way) for words in (real_words.uneven, real_words.thin)))
    return " ".join([f"{facts} facts.", *(f"{words[0].upper()}{words[1:]}" for words in more)])


@panels.piece
def _by_relation(tables: resources.Tables, labels: tuple[str, ...], way: str) -> None:
    levels = tables["levels"]
    model = pickers.linked("Model", list(dict.fromkeys(levels["model"])), "model", model_name)
    rows = levels[(levels["model"] == model) & (levels["by"] == "relation")]
    wide = rows.pivot(index="group", columns="level", values="facts")[list(labels)]
    order = (wide.mul(list(range(len(labels))), axis=1).sum(axis=1) / wide.sum(axis=1)).sort_values(ascending=False).index
    names = resources.relation_labels()
    groups = {names.get(relation, relation): wide.loc[relation].astype(int).tolist() for relation in order}
    figure = partial(level_shares_figure, groups, labels, 30)
    draw(figure, key="real-relations", alt="Facts by level for each relation", of=(tables, model))
    few = sum(sum(counts) < FEW for counts in groups.values())
    if few:
        st.caption(f"{few:,} of {len(groups):,} relations have fewer than {FEW} facts here: too few to tell about any one of them.")
    to = {"model": model, "source": real_words.FACTS, "by": "relation", **({} if way == FULL else {"method": way})}
    page_link("pages/memory.py", "Look at the facts on Memory", "real-memory-facts", icon=":material/psychology:", to=to)
