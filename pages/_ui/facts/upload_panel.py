"""Your own facts from a file, in a dialog: its first rows, what each column means, how many facts it makes, then use them."""

from typing import Any

import streamlit as st

from pages._ui import address, state
from pages._ui.facts import source_reads
from pages._ui.facts.relations_panel import templates_editor
from pages._ui.panels import problem
from pages._ui.wording import literal, sentence
from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.sources import ENDINGS
from sftqa_core.knowledge.tables.columns import NAME_THEM
from sftqa_core.knowledge.tables.layouts import AS_PAIRS, query_of
from sftqa_core.knowledge.tables.rows import NO_TEMPLATES
from sftqa_core.records import SourcePreview

EXAMPLE = "relation,subject,object\nP19,Marie Curie,Warsaw\nP36,Kenya,Nairobi\n"
KINDS = {"pairs": "question-answer pairs", "facts": "facts"}
FIELDS = {  # of each kind: role -> label
    "pairs": {"question": "Question", "answers": "Answers", "topic": "Topic", "choices": "Options of multiple choice"},
    "facts": {"subject": "Subject", "relation": "Relation", "answers": "Answers", "question": "Question", "templates": "Templates"},
}
COMMON = {"aliases": "More right answers", "split": "Split", "domain": "In or out of domain"}
NEEDED = {"pairs": ("question", "answers"), "facts": ("subject", "relation", "answers")}
NOT_USED = "not used"
_LAYOUTS = "PopQA, LAMA, CounterFact, SimpleQA, TriviaQA, SQuAD, KILT, DPR, MMLU, Alpaca and chat messages are recognised."


def upload_button(model: str) -> None:
    """A button that opens the dialog. `model`: the picked one, which templates are tried with."""
    st.button("Add your own facts", icon=":material/upload_file:", on_click=_show, args=(True,))
    if st.session_state.get("upload-shown") == address.visit():
        _dialog(model)


def _show(shown: bool = False) -> None:
    st.session_state["upload-shown"] = address.visit() if shown else None


@st.dialog("Add your own facts", width="large", on_dismiss=_show)
def _dialog(model: str) -> None:
    if not st.session_state["upload-shown"]:  # the facts are in use
        st.rerun()
    # any ending is taken: the browser would refuse others without a word
    file = st.file_uploader(f"A file of up to {source_reads.MOST_UPLOADED} ({', '.join(ENDINGS)})", key="upload")
    place = st.empty()  # cleared at once when a file comes, while it is read
    if file is None:
        with place.container():
            _explanation()
        return
    place.empty()
    name, content = file.name, file.getvalue()
    try:
        view = source_reads.preview_upload(name, content)
        if mapping := _columns(view, file.file_id):
            view = source_reads.preview_upload(name, content, query_of(mapping))
        query, templates = query_of(mapping), ""
        if view.new_relations:
            read, templates = _for_new_relations(view, model, file.file_id)
            query = query_of(mapping, read)
            view = source_reads.preview_upload(name, content, query, templates)
        _told(view)
    except SftqaError as error:
        problem(str(error))
        return
    st.button(
        "Use these facts", type="primary", disabled=not view.facts, on_click=_use, args=(name, content, query, templates), key="upload-use"
    )
    if (trouble := state.kept_problem()) is not None:
        problem(trouble)


def _explanation() -> None:
    st.markdown(
        "Columns `question, answers`, or `relation, subject, object`. A relation is an id such as P19 (place of birth), or any name with "
        "templates of its own. Other names of columns can be picked after the file is read."
    )
    st.code(EXAMPLE.strip(), language=None, wrap_lines=True)
    st.caption(f"{_LAYOUTS} Several right answers stand in a list, or in CSV with | between them.")
    st.download_button("Download this example", EXAMPLE, "facts.csv", "text/csv", on_click="ignore", icon=":material/download:")
    st.caption("For the EntityQuestions data run `sftqa facts --source entity-questions --download` once.")


def _columns(view: SourcePreview, key: str) -> dict[str, tuple[str, ...]]:
    """Pickers of what each column is; returns the mapping they make, empty where the file is read as it is."""
    st.dataframe(
        [dict(zip(view.columns, row, strict=False)) for row in view.rows],
        hide_index=True,
        height="content",
    )
    known = bool(view.roles)
    roles = dict(view.roles) if known else dict(view.guess)
    kind = "facts" if {"subject", "relation"} <= roles.keys() else "pairs"
    if view.layout:
        st.caption(f"The first rows, read as {literal(view.layout)}.")
    with st.expander("Columns", icon=":material/view_column:", expanded=not known):
        chosen = st.segmented_control("The file holds", list(KINDS), format_func=KINDS.get, default=kind, required=True, key=f"{key}-kind")
        fields = FIELDS[chosen or kind] | COMMON
        picked = _picked(view, fields, roles, NEEDED[chosen or kind], key)
    if not known and not picked.keys() >= set(NEEDED[chosen or kind]):
        return {}
    unused: dict[str, tuple[str, ...]] = {role: () for role in view.roles if role in fields and role not in picked}
    unused |= {role: () for role in ("subject", "relation") if chosen == "pairs" and role in view.roles}
    return {**unused, **{role: columns for role, columns in picked.items() if view.roles.get(role) != ", ".join(columns)}}


def _picked(
    view: SourcePreview, fields: dict[str, str], roles: dict[str, str], needed: tuple[str, ...], key: str
) -> dict[str, tuple[str, ...]]:
    picked: dict[str, tuple[str, ...]] = {}
    cells = st.columns(3)
    for number, (role, label) in enumerate(fields.items()):
        cells = st.columns(3) if number and number % 3 == 0 else cells  # row by row, so that a narrow page keeps their order
        there = roles.get(role)
        options = [NOT_USED, *dict.fromkeys([*([there] if there else []), *view.places])]
        index = options.index(there) if there else 0
        named = label + (" *" if role in needed else "")
        if role in ("answers", "aliases"):  # several columns may hold them
            before = [column for column in (there or "").split(", ") if column in view.places] or ([there] if there else [])
            several = cells[number % 3].multiselect(named, dict.fromkeys([*before, *view.places]), before, key=f"{key}-{role}")
            picked |= {role: tuple(several)} if several else {}
            continue
        column = cells[number % 3].selectbox(named, options, index=index, key=f"{key}-{role}")
        if column != NOT_USED:
            picked[role] = (column,)
    return picked


def _for_new_relations(view: SourcePreview, model: str, key: str) -> tuple[str, str]:
    """(how they are read, their templates in TOML): templates written here, or as questions and answers if the person likes."""
    names = ", ".join(list(view.new_relations)[:3])
    as_pairs = st.toggle(
        f"Read relations without templates as questions and answers ({literal(names)})",
        key=f"{key}-read",
        help="Then 'What is the RELATION of SUBJECT?' is asked, unless the file has a question. Templates measure memory better.",
    )
    if as_pairs:
        return AS_PAIRS, ""
    with st.expander("Templates", icon=":material/edit_note:", expanded=True):
        return "", templates_editor(view.new_relations, model, f"{key}-templates")


def _told(view: SourcePreview) -> None:
    """How many facts it makes, what is ignored, what should be known, or why it can't be used."""
    lacking = [fault for fault in view.faults if NO_TEMPLATES not in fault]
    if view.faults and not lacking:
        st.caption("Write the templates above, or read these relations as questions and answers.")
    elif lacking:
        problem("\n".join(fault.partition(NAME_THEM)[0] for fault in lacking))  # here they are picked
    else:
        counts = ", ".join(f"{count:,} {split}" for split, count in view.splits.items())
        st.markdown(f"**{view.facts:,} fact{'' if view.facts == 1 else 's'}: {counts}.**")
        if not view.splits.get("test"):
            st.caption("None is a test fact, so accuracy can't be measured: give a column with train and test, or more facts.")
        heads = ("Question", "Answers, as read", "Split")
        st.dataframe([dict(zip(heads, row, strict=True)) for row in view.read], hide_index=True, height="content")
    if view.ignored:
        st.caption(f"Ignored columns: {literal(', '.join(view.ignored[:12]))}{' …' if len(view.ignored) > 12 else ''}.")
    for note in view.notes:
        st.warning(sentence(note), icon=":material/info:")


def _use(name: str, content: bytes, query: str, templates: str) -> None:
    try:
        source = source_reads.add_upload(name, content, query, templates)
    except SftqaError as error:
        state.keep_problem(str(error))
        return
    address.put(source=source, split="all")  # a small file may have no test facts at all
    state.toast_later(_counts(source))
    _show(False)


def _counts(source: str) -> str:
    """What was read: "13 facts read: 9 train, 0 dev, 4 test."."""
    counts: dict[str, Any] = source_reads.split_counts(source)
    parts = ", ".join(f"{n:,} {split}" for split, n in counts.items())
    return f"{sum(counts.values()):,} facts read: {parts}."
