"""The button behind which a run or study gets its name, tags, note and pin, and is deleted; and ways to bring back what was deleted.

All of it is plain text: what a person wrote is never rendered as markup.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui import address, panels, resources, state
from pages._ui.labels import label_reads
from pages._ui.wording import literal, moment, sentence
from sftqa_core.artifacts import in_words
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import Deleted, Label, Labelled
from sftqa_core.records.result_names import bundle_of

SHOWN = 20  # of what was deleted
MOST_PROBLEMS = 3  # labels that can't be read: 'sftqa label' lists them all
_DELETED = "deleted-just-now"  # in the session: what this visitor deleted last, and can bring back by one click
_FIELDS = declared(Label)


def label_button(thing: Labelled, where: str) -> None:
    """A popover with the label's fields and the way to delete; `where` keeps the widgets of two places apart. None for what was
    imported: it goes by its bundle's name, and goes with it."""
    if bundle_of(thing.id):
        return
    key = f"label-{where}-{thing.id}"
    if st.session_state.pop(f"{key}-ask", False):  # the popover is closed by now: it would lie over the dialog
        show: Any = st.dialog(f"Delete this {thing.kind}?", icon=":material/delete:")(_ask)
        show(thing)
    with st.popover("Name, tags, note", icon=":material/label:", key=key, on_change="rerun") as box:
        if not box.open:
            return
        label = label_reads.label_of(thing.kind, thing.id)
        for line in st.session_state.pop(f"{key}-problem", "").splitlines():
            st.error(sentence(line), icon=":material/error:")
        with st.form(f"{key}-form", border=False):
            st.text_input(_FIELDS["name"].label, label.name, key=f"{key}-name", max_chars=_FIELDS["name"].longest)
            known = sorted({*label_reads.known_tags(), *label.tags})
            st.multiselect(
                _FIELDS["tags"].label, known, list(label.tags), key=f"{key}-tags", accept_new_options=True,
                max_selections=_FIELDS["tags"].most, placeholder="choose, or type a new one",
                help=f"At most {_FIELDS['tags'].most} of {_FIELDS['tags'].longest} characters each, without commas.",
            )  # fmt: skip
            st.text_area(_FIELDS["note"].label, label.note, key=f"{key}-note", max_chars=_FIELDS["note"].longest, height=120)
            st.toggle(_FIELDS["pinned"].label, label.pinned, key=f"{key}-pinned", help="Listed first, with a star.")
            st.form_submit_button("Save", type="primary", icon=":material/check:", on_click=_save, args=(thing, label, key))
        _size_and_deletion(thing, key)


def _save(thing: Labelled, shown: Label, key: str) -> None:
    """Write what was changed since the form was drawn, and nothing else: somebody else may have changed the rest meanwhile."""
    now = {field: st.session_state[f"{key}-{field}"] for field in _FIELDS}
    changes: dict[str, Any] = {field: now[field] for field in ("name", "note", "pinned") if now[field] != getattr(shown, field)}
    changes["add"] = [tag for tag in now["tags"] if tag not in shown.tags]
    here = label_reads.label_of(thing.kind, thing.id).tags
    changes["remove"] = [tag for tag in shown.tags if tag not in now["tags"] and tag in here]
    try:
        label_reads.change(thing, **changes)
    except SftqaError as error:
        st.session_state[f"{key}-problem"] = str(error)
    else:
        st.session_state[key] = False  # closes the popover
        state.toast_later("Saved.")


def _size_and_deletion(thing: Labelled, key: str) -> None:
    size, why = label_reads.size_of(thing)
    st.caption(f"{literal(thing.id)} · " + (f"{in_words(size)} on the disk" if size is not None else sentence(f"Size not known: {why}")))
    if thing.shipped:
        st.caption(f"This {thing.kind} came with the program and can't be deleted. Its label is yours.")
    else:
        ask = {"on_click": st.session_state.update, "args": ({key: False, f"{key}-ask": True},)}
        st.button(f"Delete this {thing.kind}…", icon=":material/delete:", key=f"{key}-delete", **ask)


def _ask(thing: Labelled) -> None:
    """The dialog's text and button."""
    label = label_reads.label_of(thing.kind, thing.id)
    st.text(" · ".join(filter(None, [label.name, thing.id])))
    stays = "It can be brought back until `sftqa cache gc --yes` removes it for good."
    if thing.kind == "run":
        st.markdown(f"The run with its answers and weights leaves every list. {stays}")
    else:
        st.markdown(f"The study leaves the list. Cells that another study names stay, the others go with it. {stays}")
    if st.button("Delete", type="primary", icon=":material/delete:", key="delete-now", on_click=_delete, args=(thing,)):
        st.rerun()  # closes the dialog


def _delete(thing: Labelled) -> None:
    try:
        st.session_state[_DELETED] = label_reads.delete(thing)
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        address.put(**{thing.kind: None})


def notices() -> None:
    """Labels that can't be read; and right after a deletion what was deleted, the button that brings it back, and what went wrong."""
    state.show_toast()
    for problem in resources.labels().problems[:MOST_PROBLEMS]:
        st.warning(sentence(problem), icon=":material/label_off:")
    if (trouble := state.kept_problem()) is not None:
        panels.problem(trouble)
    entry: Deleted | None = st.session_state.get(_DELETED)
    if entry is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        called = entry.label.name or entry.id
        st.markdown(f"Deleted: {literal(called)} ({in_words(entry.size_bytes)}). {sentence(' '.join(entry.notes))}", width="stretch")
        st.button("Undo", icon=":material/undo:", key="undo-deletion", on_click=_undelete, args=(entry,))
        st.button("", icon=":material/close:", key="undo-close", type="tertiary", help="Close", on_click=_forget)


def _forget() -> None:
    st.session_state.pop(_DELETED, None)


def _undelete(entry: Deleted) -> None:
    try:
        notes = label_reads.undelete(entry)
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        state.toast_later(f"{literal(entry.label.name or entry.id)} is back. {sentence(' '.join(notes))}")
        if (entry.kind == "run") == (address.page() == "results"):  # where it was deleted
            address.put(**{entry.kind: entry.id})
    _forget()


def deleted_fold() -> None:
    """A part of the page with everything that was deleted here and can come back; nothing without any."""
    if label_reads.deleted():
        panels.folded("Deleted runs and studies", "deleted", ":material/delete:", _deleted_list)


def _deleted_list() -> None:
    entries = label_reads.deleted()
    size = in_words(sum(entry.size_bytes for entry in entries))
    st.caption(f"{size} on the disk. Each can be brought back until `sftqa cache gc --yes` removes it for good.")
    for entry in entries[:SHOWN]:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            about = " · ".join(filter(None, [entry.label.words, entry.kind, entry.id, in_words(entry.size_bytes)]))
            st.markdown(literal(f"{about} · deleted {moment(entry.when)}"), width="stretch")
            if st.button("Undo", icon=":material/undo:", key=f"undelete-{entry.entry}", on_click=_undelete, args=(entry,)):
                st.rerun()  # what came back stands outside
    if len(entries) > SHOWN:
        st.caption(f"The {SHOWN} deleted last of {len(entries):,} are shown; 'sftqa undelete' lists them all.")


def run_of(run: str, infos: Sequence[Any]) -> Labelled:
    """A run of the list as something that can be labelled."""
    return Labelled("run", run, any(info.id == run and info.shipped for info in infos))


def note_of(kind: str, name: str) -> None:
    """What the person noted, as it was written; nothing without a note."""
    if note := label_reads.label_of(kind, name).note:
        st.text(note)
