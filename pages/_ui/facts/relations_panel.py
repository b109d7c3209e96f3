"""Relations of one's own: an editor for their templates, which checks every line and shows how a model completes it; and the dialog
that puts them beside a file of facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, background, resources, state
from pages._ui.facts import source_reads
from pages._ui.fields import KEPT
from pages._ui.panels import needs_torch, problem
from pages._ui.wording import literal, sentence
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.jobs import current_executor
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.relations import TEMPLATES, Relation, fill, relations_toml, template_faults, text_problems
from sftqa_core.knowledge.sources import OwnRelation

EXAMPLE = "{subject} flows into\nThe mouth of {subject} is in"
SAMPLES, NEW_TOKENS = 3, 16  # completions beside a template: enough to see what it asks for
LOOK_S = 1.0  # between two looks at their job
_LISTED = 5  # faults written out under the templates
_NO_SUBJECT = "the subject"  # where the file has no facts of a relation
_COLUMNS = {"No.": st.column_config.NumberColumn(width=40), "Check": st.column_config.TextColumn(width=90)}


@dataclass(frozen=True)
class _Draft:
    """A relation as it stands in the form, right or wrong."""

    name: str
    label: str
    question: str
    templates: tuple[str, ...]
    known: Relation | None  # as it was before

    @property
    def most(self) -> int:
        """Templates it may have: the paper's number, but no template of a file that has more is thrown away."""
        return max(TEMPLATES, len(self.known.templates) if self.known else 0)

    @property
    def faults(self) -> list[list[str]]:
        """What is wrong with each template."""
        return template_faults(self.question, self.templates, self.most)

    def relation(self) -> Relation | None:
        """The relation; None while something is wrong or missing."""
        if not self.templates or any(self.faults):
            return None
        try:
            return Relation(self.name, self.label, self.known.domain if self.known else "in", self.question, self.templates)
        except SettingsError:
            return None


def templates_editor(new: Mapping[str, Sequence[str]], model: str, key: str) -> str:
    """Draw the editor for relations that have no templates yet (relation -> some of its subjects): the relations that are complete as
    the text of a file of relations; empty while none is. `key` tells it apart from other editors."""
    complete, _ = edit_relations({name: OwnRelation(None, tuple(subjects)) for name, subjects in new.items()}, model, key)
    return relations_toml(complete)


def edit_relations(own: Mapping[str, OwnRelation], model: str, key: str) -> tuple[dict[str, Relation], list[str]]:
    """Draw the editor: the relations that are complete, and the names of those that are not."""
    names = list(own)
    if len(names) > 1:
        chosen = st.selectbox("Relation", names, key=f"{key}-relation", **KEPT)
    elif names:
        chosen = names[0]
        st.markdown(f"**{literal(chosen)}**")
    if names:
        _form(key, chosen, own[chosen], model)
    made = {name: _draft(key, name, one).relation() for name, one in own.items()}
    complete = {name: relation for name, relation in made.items() if relation is not None}
    left = [name for name in names if name not in complete]
    if len(names) > 1:
        st.caption(f"{len(complete):,} of {len(names):,} relations are complete.{_named('Left: ', left)}")
    return complete, left


def _named(words: str, names: Sequence[str]) -> str:
    """Some names behind words, as text; nothing without names."""
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f" {words}{', '.join(map(literal, names[:_LISTED]))}{more}." if names else ""


def _keys(key: str, name: str, one: OwnRelation) -> dict[str, str]:
    """The fields' names: what was typed for another file's relation of that name is another text."""
    place = fingerprint([key, name, one.subjects, one.relation and one.relation.to_dict()])
    return {part: f"{part}-{place}" for part in ("label", "question", "templates", "subject", "try")}


def _start(name: str, one: OwnRelation) -> tuple[str, str, str]:
    """What the fields hold at first: label, question, templates."""
    known = one.relation
    return (known.label, known.question, "\n".join(known.templates)) if known else (name, f"What is the {name} of {{subject}}?", "")


def _draft(key: str, name: str, one: OwnRelation) -> _Draft:
    """The relation as typed so far, drawn or not."""
    fields = zip(("label", "question", "templates"), _start(name, one), strict=True)
    label, question, text = (str(st.session_state.get(_keys(key, name, one)[part], start)) for part, start in fields)
    templates = tuple(line.strip() for line in text.splitlines() if line.strip())
    return _Draft(name, label.strip() or name, question.strip(), templates, one.relation)


def _form(key: str, name: str, one: OwnRelation, model: str) -> None:
    keys, (label, question, text) = _keys(key, name, one), _start(name, one)
    first, second = st.columns(2)
    first.text_input("Label", label, key=keys["label"], help="Its name in plain words, as charts show it.", **KEPT)
    second.text_input("Question", question, key=keys["question"], help="Asks for the object, with {subject} once.", **KEPT)
    st.text_area(
        "Templates, one a line",
        text,
        height=200,
        key=keys["templates"],
        placeholder=EXAMPLE,
        help="Statements with {subject} that end where the object follows, with a word. Ctrl+Enter checks them.",
        **KEPT,
    )
    draft = _draft(key, name, one)
    faults = draft.faults
    wrong = [f"The question {fault}" for fault in text_problems(draft.question)]
    wrong += [f"Template {number} {fault}" for number, given in enumerate(faults, 1) for fault in given]
    if wrong:
        problem("\n".join([*wrong[:_LISTED], *([f"{len(wrong) - _LISTED:,} more."] if len(wrong) > _LISTED else [])]))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(draft.templates)} of {draft.most} templates**", width="content")
        st.caption("The paper uses 21; fewer will do. The object follows each after one space.", width="content")
    if not draft.templates:
        return
    left, right = st.columns(2, vertical_alignment="bottom")
    subject = left.selectbox("Subject", one.subjects or (_NO_SUBJECT,), key=keys["subject"], **KEPT)
    filled = [fill(template, subject=subject, question=fill(draft.question, subject=subject)) for template in draft.templates]
    good = tuple(dict.fromkeys(text for text, wrong in zip(filled, faults, strict=True) if not wrong))
    with right:
        _try_button(keys["try"], model, good)
    running = background.completing(model, good)
    st.fragment(_tried, run_every=LOOK_S if running and running.state in background.ACTIVE else None)(model, filled, faults, good)


def _try_button(key: str, model: str, prompts: tuple[str, ...]) -> None:
    """Hands the filled templates that were not completed yet to a background job."""
    if resources.missing_torch():
        needs_torch("Trying templates")
        return
    if why := resources.why_not_here(model):
        st.caption(sentence(why))
        st.page_link("pages/available_models.py", label="Models", icon=":material/deployed_code:")
        return
    left = tuple(text for text in prompts if text not in background.completed(model))
    words = f"{SAMPLES} completions of each statement, drawn as a probe draws them. A background job."
    words = words if left or not prompts else "The completions of these statements stand below."
    about: dict[str, Any] = {"help": words, "disabled": not left, "on_click": _try, "args": (model, left, f"{key}-problem")}
    st.button(f"Try with {literal(model)}", icon=":material/play_arrow:", key=key, **about)
    if (trouble := st.session_state.pop(f"{key}-problem", None)) is not None:
        problem(trouble)


def _try(model: str, prompts: tuple[str, ...], place: str) -> None:
    try:
        background.complete(model, prompts, SAMPLES, NEW_TOKENS)
    except SftqaError as error:
        st.session_state[place] = str(error)


def _tried(model: str, filled: Sequence[str], faults: Sequence[Sequence[str]], prompts: tuple[str, ...]) -> None:
    """Each template filled in, what is wrong with it, and how the model completes it. Looks at the job again while it runs."""
    known = background.completed(model)
    rows: list[dict[str, Any]] = []
    any_tried = False
    for number, (text, wrong) in enumerate(zip(filled, faults, strict=True), 1):
        texts = () if wrong else known.get(text, ())
        any_tried = any_tried or bool(texts)
        tried = {f"Completion {at}": " ".join(texts[at - 1].split()) if at <= len(texts) else "" for at in range(1, SAMPLES + 1)}
        rows.append({"No.": number, "Check": " ".join(wrong) or "ok", "Statement": text, **tried})
    table = pd.DataFrame(rows)
    table = table if any_tried else table[["No.", "Check", "Statement"]]
    st.dataframe(
        table, hide_index=True, height=min(38 + 35 * len(rows), 388), column_config={"No.": st.column_config.NumberColumn(width=40)}
    )
    job = background.completing(model, prompts)
    if job is None or job.state == "done":
        return
    if job.state == "failed":
        problem(job.error or "The completions could not be made. The Jobs page has the log.")
    elif job.state in background.ACTIVE:
        with st.container(horizontal=True, vertical_alignment="center"):
            steps = state.progress_history(job.id)
            share = steps[-1].done / steps[-1].total if steps and steps[-1].total else 0.0
            waits = background.waits_for(job) if job.state == "queued" else "Starting…" if not steps else "Completing…"
            st.progress(min(share, 1.0), text=literal(waits), width=300)
            if st.button("Cancel", icon=":material/stop:", key=f"cancel-try-{job.id}", type="tertiary"):
                current_executor().cancel(job.id, job.turn)


def templates_button(model: str, source: str) -> None:
    """A button that opens the editor for a file of facts with relations of its own; nothing for any other source."""
    own = source_reads.own_relations(source)
    if own and st.button("Templates", icon=":material/edit_note:", help="How the relations of this file are asked."):
        _editor(model, source)


def missing_templates(model: str, source: str) -> None:
    """Ends the page where a file of facts can't be opened yet because relations have no templates, with the way to write them."""
    missing = [name for name, one in (source_reads.own_relations(source) or {}).items() if one.relation is None]
    if not missing:
        return
    st.info(f"These facts can't be used yet.{_named('There are no templates for ', missing)}", icon=":material/edit_note:")
    if (trouble := state.kept_problem()) is not None:
        problem(trouble)
    if st.button("Write templates", type="primary", icon=":material/edit_note:"):
        _editor(model, source)
    address.over()


@st.dialog("Templates", width="large")
def _editor(model: str, source: str) -> None:
    try:
        own = source_reads.own_relations(source) or {}
    except SftqaError as error:
        problem(str(error))
        return
    complete, unfinished = edit_relations(own, model, f"own-{source}")
    columns = [name for name, one in own.items() if one.column]
    changed = {name: one for name, one in complete.items() if name not in columns or one != own[name].relation}
    st.caption(
        ("Templates that stand in a column of the file move to the file beside it once they are changed. " if columns else "")
        + "Facts of changed relations need a new probe; what was probed before is kept."
    )
    about: dict[str, Any] = {"disabled": bool(unfinished) or not own, "on_click": _save, "args": (source, changed)}
    clicked = st.button("Save beside the file", type="primary", key="own-save", **about)
    if (trouble := state.kept_problem()) is not None:
        problem(trouble)
    elif clicked:
        st.rerun()


def _save(source: str, relations: Mapping[str, Relation]) -> None:
    try:
        source_reads.save_relations(source, relations)
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        state.toast_later("Saved. Probes and runs use these templates from now on.")
