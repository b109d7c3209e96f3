"""The form of the Ask page. What was asked is in the address; a text that is too long for it holds for the session and is not linked."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from pages._ui import address
from pages._ui.asking import asked
from pages._ui.wording import literal
from sftqa_core.records import ASKED, MOST_COLUMNS

KEYS = ("q", "kind", "columns", "answer")  # of the address
BETWEEN = "|"  # answers that are typed in
_FIELDS = {key: f"ask-{key}" for key in KEYS}
_SEEN, _LONG = "ask-seen", "ask-long"
NOW = "ask-now"  # set by the button: asked in this run of the script, and never by opening a link


@dataclass(frozen=True)
class Wanted:
    """What the address asks for."""

    text: str
    kind: str
    columns: tuple[str, ...]
    answers: tuple[str, ...]  # typed in, to be scored
    long: bool  # the text is not in the address


def ask_form(stamp: str) -> Wanted:
    """Draw the form; what was last asked with it, or what a link asks for."""
    known = asked.titles(stamp)
    here = {key: address.value(key) for key in KEYS}
    wanted = _checked(here, known, stamp)
    if st.session_state.get(_SEEN) != here or any(field not in st.session_state for field in _FIELDS.values()):
        st.session_state[_SEEN] = here
        st.session_state[_FIELDS["q"]], st.session_state[_FIELDS["kind"]] = wanted.text, wanted.kind
        st.session_state[_FIELDS["columns"]] = list(wanted.columns)
        st.session_state[_FIELDS["answer"]] = f" {BETWEEN} ".join(wanted.answers)
    names = [*asked.options(stamp), *(name for name in wanted.columns if name not in asked.options(stamp))]
    with st.form("ask", border=False, enter_to_submit=True):
        st.text_area(
            "Question or statement",
            key=_FIELDS["q"],
            height=80,
            placeholder="Where was Ada Lovelace born?",
            help="A question is put as the runs were trained; a statement ends where the answer follows, as probes complete it. "
            "Ctrl+Enter asks.",
        )
        left, middle, right = st.columns([2, 5, 3], vertical_alignment="bottom")
        left.segmented_control("Asked as", list(ASKED), format_func=_kind_name, key=_FIELDS["kind"], required=True)
        middle.multiselect(
            "Models and runs", names, format_func=lambda name: known.get(name, name), key=_FIELDS["columns"], max_selections=MOST_COLUMNS,
            placeholder="the newest run beside its base model", help="Base models, and runs that kept their weights.",
        )  # fmt: skip
        right.text_input(
            "Answers to score", key=_FIELDS["answer"], placeholder="London",
            help=f"Their probability is told, besides that of the right answer. Several: put {BETWEEN} between them.",
        )  # fmt: skip
        st.form_submit_button("Ask", icon=":material/send:", type="primary", on_click=_submit)
    if wanted.long:
        st.caption(f"This text has more than {address.LONGEST:,} characters, so it is not in the address: a copied link leaves it out.")
    return wanted


def _kind_name(kind: str) -> str:
    return kind.capitalize()


def take(text: str) -> None:
    """A button's callback: put this question into the address; nothing is asked yet."""
    address.put(q=text, kind=None)


def _submit() -> None:
    """Write what the form holds into the address, and ask."""
    held = {key: st.session_state[field] for key, field in _FIELDS.items()}
    text = str(held["q"]).strip()
    st.session_state[_LONG] = text if len(text) > address.LONGEST else ""
    answer = str(held["answer"]).strip()
    address.put(
        q=None if st.session_state[_LONG] else text,
        kind=None if held["kind"] == "question" else held["kind"],
        columns=",".join(held["columns"]),
        answer=answer if len(answer) <= address.LONGEST else None,
    )
    st.session_state[_SEEN] = {key: address.value(key) for key in KEYS}
    st.session_state[NOW] = True


def _checked(here: dict[str, str | None], known: Sequence[str], stamp: str) -> Wanted:
    """What an address says, as far as it can be used; the rest is dropped, and the page says so."""
    long = "" if here["q"] else st.session_state.get(_LONG, "")
    text = (here["q"] or "")[: address.LONGEST] or long
    kind = here["kind"] or "question"
    if kind not in ASKED:
        _dropped("kind", f"There is no kind '{literal(kind[:40])}'; asking a question.", here)
        kind = "question"
    named = list(dict.fromkeys(name for name in (here["columns"] or "").split(",") if name))
    there = [name for name in named if name in known][:MOST_COLUMNS]
    if wrong := [name for name in named if name not in known]:
        instead = "" if there else f" Below stand {literal(' and '.join(known[name] for name in asked.first_choice(stamp)))} instead."
        _dropped("columns", f"There is no model or run '{literal(wrong[0][:80])}' here.{instead}", here, ",".join(there))
    if not there:
        there = asked.first_choice(stamp)
        address.settle_on("columns", ",".join(there))
        here["columns"] = ",".join(there) or None
    answers = [answer.strip() for answer in (here["answer"] or "")[: address.LONGEST].split(BETWEEN)]
    return Wanted(text, kind, tuple(there), tuple(dict.fromkeys(filter(None, answers))), bool(long))


def _dropped(key: str, why: str, here: dict[str, str | None], rest: str = "") -> None:
    address.put(**{key: rest})
    here[key] = rest or None
    address.say_wrong(why)
