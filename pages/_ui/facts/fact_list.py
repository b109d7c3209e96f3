"""The list of facts with its filters, all of them in the address: the Memory page draws it, a fact's page walks through it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, panels, pickers, resources
from pages._ui.downloads import csv_button
from pages._ui.facts import consistency_reads, fact_reads
from pages._ui.facts.consistency_panel import offered
from pages._ui.facts.fact_panel import fact_detail
from pages._ui.rows import clicked_row
from pages._ui.wording import literal
from sftqa_core.records import ANSWER_KINDS

SHOWN = 500  # rows on a page of the table
NOT_PROBED = "not probed"
SEARCHED = {"facts": "subject, answer", "completions": "completions"}
ONLY = {  # a filter's name -> its words, the column, and what that must hold
    "contested": ("contested", "contested", True),
    "uncontested": ("uncontested", "contested", False),
    "echo": ("echo: answer in the subject", "echo", True),
    "no-echo": ("no echo", "echo", False),
}
KINDS = {kind: f"answers {kind}" for kind in ANSWER_KINDS}  # filters on what the completions say
COLUMNS = {  # what matters most comes first: a telephone shows three
    "subject": st.column_config.TextColumn("Subject", width=150),
    "score": st.column_config.ProgressColumn("R", min_value=0, max_value=1, format="%.3f", width=85),
    "level": st.column_config.TextColumn("Level", width=60),
    "answers": st.column_config.ListColumn("Correct answers"),
    "relation_label": st.column_config.TextColumn("Relation"),
    "domain": st.column_config.TextColumn("Domain", width="small"),
    "exposures": st.column_config.NumberColumn(
        "Exposures", format="localized", width="small", help="How often the pre-training text states the fact."
    ),
    "contested": st.column_config.CheckboxColumn("Contested", width="small", help="The pre-training text also states another answer."),
    "echo": st.column_config.CheckboxColumn("Echo", width="small", help="An answer is part of the subject."),
}
FILE_COLUMNS = {  # of CONSISTENCY (memory/consistency.py), as a file calls them beside the facts' own
    "answered": "completions_with_answer",
    "silent": "completions_without_answer",
    "named": "completions_naming_an_object",
    "modal": "commonest_answer",
    "modal_share": "commonest_share",
    "right": "commonest_correct",
    "second": "second_answer",
    "different": "different_answers",
    "agreement": "template_agreement",
    "entropy": "answer_entropy",
    "kind": "answers_are",
}


@dataclass(frozen=True)
class Chosen:
    """The facts that are let through, and what they were let through by."""

    rows: Any  # their positions in the level table, in the list's order
    words: str  # searched for in completions, else ""


def quoted(name: str) -> str:
    """A relation's name for an address, which separates names by commas."""
    return name.replace("%", "%25").replace(",", "%2C")


def plain(quoted_name: str) -> str:
    return quoted_name.replace("%2C", ",").replace("%25", "%")


@panels.piece
def facts_section(profile: Any, model: str, source: str, read: bool, stamp: str) -> None:
    """The list with its filters, and the picked fact below it, or an example; `read`: the model may have read these facts."""
    found = draw_filters(profile, model, source, stamp)
    fact = draw_table(profile, found, partial(with_answers, model, source, profile.scheme))
    if fact is not None:
        fact_detail(model, source, fact, profile.scheme, stamp, read)
        page_link(fact)


def draw_filters(profile: Any, model: str, source: str, stamp: str) -> Chosen:
    """The filters, and the facts that they let through."""
    names, labels = resources.relation_labels(), [*profile.scheme.labels, NOT_PROBED]
    only = _only(profile)
    places = iter(st.columns([2, 3, 2, 4] if only else [2, 3, 4], vertical_alignment="bottom"))
    pickers.linked_many("Level", labels, "level", place=next(places), placeholder="all")
    relations = sorted(map(quoted, profile.relations), key=lambda name: names.get(plain(name), plain(name)))
    pickers.linked_many(
        "Relation", relations, "relation", lambda name: names.get(plain(name), plain(name)), next(places), placeholder="all"
    )
    if only:
        with next(places):
            pickers.linked("Only", ["", *only], "only", lambda name: KINDS.get(name) or ONLY[name][0] if name else "all")
    with next(places), st.container(horizontal=True, vertical_alignment="top", key="fact-search"):
        where = pickers.linked_choice("Search in", list(SEARCHED), "where", SEARCHED.__getitem__, st.container(width="content"))
        holder = "words of a completion" if where == "completions" else "subject or answer"
        pickers.linked_text("Search", "search", st.container(width="stretch"), placeholder=holder)
    return chosen(profile, model, source, stamp)


def _only(profile: Any) -> list[str]:
    """Filters on columns that this source has, and that tell its facts apart; on kinds of answers where they can be known."""
    there = profile.level_table.table
    known = [name for name, (_, column, _) in ONLY.items() if column in there and (column != "echo" or profile.echo)]
    return [*known, *(KINDS if offered(profile.scheme) and profile.probed else ())]


def chosen(profile: Any, model: str, source: str, stamp: str) -> Chosen:
    """The facts that the address's filters let through; what it says wrongly lets everything through."""
    labels = [*profile.scheme.labels, NOT_PROBED]
    levels = [-1 if name == NOT_PROBED else labels.index(name) for name in (address.value("level") or "").split(",") if name in labels]
    known = set(profile.relations)
    relations = [name for name in map(plain, (address.value("relation") or "").split(",")) if name in known]
    only = address.value("only") or ""
    allowed = only if only in _only(profile) else ""
    having = {ONLY[allowed][1]: ONLY[allowed][2]} if allowed in ONLY else {}
    alike = None
    if allowed in KINDS:
        answers = consistency_reads.of_all(model, source, profile.scheme)
        alike = answers.loc[answers["kind"] == allowed, "fact_id"].tolist()
    # a text that is too long for an address is held by its field only
    words = (address.value("search") or str(st.session_state.get("pick-search") or "")).strip()
    if words and address.value("where") == "completions":
        among = fact_reads.facts_saying(model, source, words, profile.scheme, stamp)
        among = among if alike is None else sorted({*among}.intersection(alike))
        return Chosen(profile.choose(levels, relations, "", among, **having), words)
    return Chosen(profile.choose(levels, relations, words, alike, **having), "")


def with_answers(model: str, source: str, scheme: Any, facts: Any) -> Any:
    """The facts with what the completions say of each, for a file; empty cells where they are not stored."""
    if not offered(scheme):
        return facts
    answers = consistency_reads.of_all(model, source, scheme)
    return facts.merge(answers.rename(columns=FILE_COLUMNS), on="fact_id", how="left")


def draw_table(profile: Any, found: Chosen, in_file: Callable[[Any], Any]) -> Any:
    """The facts, a page at a time; returns the picked one, else an example among them. None where there is nothing to see. `in_file`: the
    table as the file has it."""
    names, labels, rows = resources.relation_labels(), [*profile.scheme.labels, NOT_PROBED], found.rows
    where = f" in whose completions stands '{found.words}'" if found.words else ""
    st.caption(literal(f"{len(rows):,} of {profile.facts:,} facts{where}. Click a row, or press Enter on it, to see its completions."))
    page = pickers.linked_page(-(-len(rows) // SHOWN) or 1)
    here = rows[(page - 1) * SHOWN : page * SHOWN]
    columns = [name for name in (*COLUMNS, "fact_id", "relation") if name in profile.level_table.table]
    shown = named(profile, here, names, labels, columns)
    wanted = address.value("fact")
    if wanted and not len(profile.row_of(wanted)):
        address.say_wrong(f"There is no fact '{literal(wanted[:80])}' here.")
        address.put(fact=None)
        wanted = None
    current = profile.find(wanted, here) if wanted else here[:0]
    at = int((here == current[0]).argmax()) if len(current) else None
    clicked = clicked_row(shown[[name for name in COLUMNS if name in shown]], "facts", at, height=320, column_config=COLUMNS)
    if clicked is not None:
        wanted = str(shown.iloc[clicked]["fact_id"])
        address.put(fact=wanted)
    csv_button("Download these facts", lambda: in_file(named(profile, rows, names, labels)), "facts", "facts-csv", not len(rows))
    picked = profile.find(wanted, rows) if wanted else rows[:0]
    shown_row = picked if len(picked) else profile.example(rows)
    if not len(shown_row):
        every = "Every score here is 0 or 1, or not known yet. Click a row to see the fact and its completions."
        st.caption(every if len(rows) else "No fact matches these filters.")
        return None
    if not len(picked):
        st.caption("An example, until a row is clicked:")
    return named(profile, shown_row, names, labels).iloc[0]


def named(profile: Any, rows: Any, names: dict[str, str], labels: list[str], columns: list[str] | None = None) -> Any:
    """The facts of these rows with levels and relations as words."""
    table = profile.take(rows, columns)
    relations = table["relation"].astype("str")
    levels = [labels[-1] if pd.isna(level) else labels[int(level)] for level in table["level"]]
    return table.assign(level=levels, relation_label=relations.map(lambda relation: names.get(relation, relation)))


def one_fact(profile: Any, fact_id: str) -> Any:
    """A fact of the source by its id, of whatever split; None where there is none."""
    row = profile.row_of(fact_id)
    return named(profile, row, resources.relation_labels(), [*profile.scheme.labels, NOT_PROBED]).iloc[0] if len(row) else None


def page_link(fact: Any) -> None:
    """To the fact's own page, with the list that it stands in."""
    more = address.with_values(fact=str(fact["fact_id"]), by=None, trust=None, page=None, job=None)
    label = "Levels in other models, answers in runs"
    st.page_link("pages/fact.py", label=label, icon=":material/open_in_full:", query_params=more)
