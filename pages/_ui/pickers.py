"""Pickers: each draws one choice, keeps it in the page's address so that a link can be shared, and returns it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._ui import address, resources
from pages._ui.labels import label_reads
from pages._ui.titles import model_name, run_names, source_name
from pages._ui.wording import literal, sentence
from sftqa_core import records
from sftqa_core.errors import SettingsError
from sftqa_core.records.schemes import MOST_CUTOFFS, SCHEME_NAMES

LEVELS_BY = {**SCHEME_NAMES, "cutoffs": "custom cut-offs"}
_HELP = {**records.SCHEME_HELP, "cutoffs": "the paper's completions, with other cut-offs between the levels"}
_SCHEME_HELP = " ".join(f"{name[0].upper()}{name[1:]}: {_HELP[by]}." for by, name in LEVELS_BY.items())
METHOD_HELP = (
    "Full probe: every statement is completed ten times. Adaptive probe: fewer completions where the level is clear early. "
    "Likelihood: no completions, only the probability of the answer as the next words; the fastest, and an estimate."
)
_NONE = "none"
_SAME_ROWS = ("page", "by", "trust", "of")  # what they change is not which rows a table has
DOMAIN_CHOICES = {"all": "both domains", **records.DOMAIN_NAMES}


def linked(
    label: str, options: Sequence[str], key: str, names: Callable[[str], str] = str, first: str = "", explicit: bool = False,
    default: str | None = None, **more: Any,
) -> str:  # fmt: skip
    """A select box tied to the address's parameter `key`. What is in the address and is no option is dropped, and the page says so.

    `default` is the first option unless it is named, and `first` tells what it is; with `explicit` the address names it too: it may be
    another one tomorrow.
    """
    wanted, default = address.value(key), options[0] if default is None else default
    shown = wanted if wanted in options else default
    if wanted is not None and wanted not in options:
        instead = (first if shown == default else "") or names(shown)
        _dropped(key, f"There is no {label.lower()} '{literal(wanted[:80])}' here; showing {literal(instead)}.")
    if explicit:
        address.settle_on(key, shown)
    widget = f"pick-{key}"
    st.session_state[widget] = shown
    change = (widget, key, None if explicit else default)
    return st.selectbox(label, options, format_func=names, key=widget, on_change=_remember, args=change, **more)


def linked_choice(label: str, options: Sequence[str], key: str, names: Callable[[str], str] = str, place: Any = st, **more: Any) -> str:
    """Options side by side, the first is the default; else like `linked`. `place`: a column, or where the script stands."""
    wanted = address.value(key)
    if wanted is not None and wanted not in options:
        _dropped(key, f"There is no {label.lower()} '{literal(wanted[:80])}' here; showing {literal(names(options[0]))}.")
        wanted = None
    widget = f"pick-{key}"
    st.session_state[widget] = wanted or options[0]
    change = (widget, key, options[0])
    return place.segmented_control(label, options, format_func=names, required=True, key=widget, on_change=_remember, args=change, **more)


def linked_slider(label: str, options: Sequence[str], key: str, default: str, names: Callable[[str], str] = str, **more: Any) -> str:
    """One of several options in their order, on a slider; else like `linked`."""
    wanted = address.value(key)
    if wanted is not None and wanted not in options:
        _dropped(key, f"There is no {label.lower()} '{literal(wanted[:80])}' here; showing {literal(names(default))}.")
        wanted = None
    widget = f"pick-{key}"
    st.session_state[widget] = wanted or default
    change = (widget, key, default)
    return str(st.select_slider(label, options, format_func=names, key=widget, on_change=_remember, args=change, **more))


def linked_many(
    label: str, options: Sequence[str], key: str, names: Callable[[str], str] = str, place: Any = st, usual: Sequence[str] = (), **more: Any
) -> list[str]:
    """Any number of options, none by default, or the `usual` ones; the address has them separated by commas, "none" where the usual ones
    were taken out. Those that are no options are left out."""
    return list(place.multiselect(label, options, format_func=names, **_many(label, options, key, usual), **more))


def linked_pills(label: str, options: Sequence[str], key: str, usual: Sequence[str] = (), **more: Any) -> list[str]:
    """The same, all options side by side."""
    return list(st.pills(label, options, selection_mode="multi", **_many(label, options, key, usual), **more))


def _many(label: str, options: Sequence[str], key: str, usual: Sequence[str]) -> dict[str, Any]:
    wanted = address.value(key)
    named = list(usual) if wanted is None else [name for name in wanted.split(",") if name and (name != _NONE or not usual)]
    if wrong := [name for name in named if name not in options and name not in usual]:
        _dropped(key, f"There is no {label.lower()} '{literal(wrong[0][:80])}' here.", ",".join(name for name in named if name in options))
    widget = f"pick-{key}"
    st.session_state[widget] = [name for name in dict.fromkeys(named) if name in options]
    return {"key": widget, "on_change": _remember, "args": (widget, key, ",".join(usual) or None)}


def linked_text(label: str, key: str, place: Any = st, **more: Any) -> str:
    """A line of text; one that is too long for an address is used and not linked."""
    widget = f"pick-{key}"
    if (wanted := address.value(key)) is not None or len(st.session_state.get(widget) or "") <= address.LONGEST:
        st.session_state[widget] = (wanted or "")[: address.LONGEST]
    return place.text_input(label, key=widget, on_change=_remember, args=(widget, key, None), **more).strip()


def linked_page(pages: int, key: str = "page") -> int:
    """Which page of a long table, from 1; nothing is drawn where there is one only."""
    wanted = address.value(key)
    page = int(wanted) if wanted and wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else 0 if wanted else 1
    if not 1 <= page <= pages:
        _dropped(key, f"There is no page '{literal((wanted or '')[:80])}' here; showing the first of {pages:,}.")
        page = 1
    if pages == 1:
        return 1
    widget = f"pick-{key}"
    if st.session_state.get(widget) != page:  # its value can't be set, only begun with
        st.session_state.pop(widget, None)
    return int(st.pagination(pages, default=page, key=widget, on_change=_remember, args=(widget, key, 1)))


def linked_toggle(label: str, key: str, place: Any = st, **more: Any) -> bool:
    """A switch that is off by default."""
    widget = f"pick-{key}"
    st.session_state[widget] = address.value(key) == "1" and not more.get("disabled")
    return place.toggle(label, key=widget, on_change=_remember, args=(widget, key, None), **more)


def _remember(widget: str, key: str, default: str | int | None) -> None:
    """Write what a widget holds into the address. Other rows begin on their first page, other facts without the one that was picked."""
    held = st.session_state[widget]
    text = (",".join(held) or (_NONE if default else "")) if isinstance(held, list) else "1" if held is True else str(held or "")
    gone = () if key in _SAME_ROWS else ("page", "fact") if key == "source" else ("page",)
    address.put(**{**dict.fromkeys(gone), key: None if text == str(default) or len(text) > address.LONGEST else text})


def _dropped(key: str, why: str, rest: str = "") -> None:
    if address.leave(key):  # nobody asked for it here
        return
    address.put(**{key: rest})
    address.say_wrong(why)


def typed(
    label: str, options: Sequence[str], key: str, help_text: str, names: Callable[[str], str] = str, default: str | None = None
) -> str:
    """Like `linked`, but the person may also type something that is not in the list, and a link may hold it."""
    wanted = address.value(key)
    other = [wanted] if wanted and wanted not in options else []
    return linked(label, [*options, *other], key, names, default=default, explicit=True, accept_new_options=True, help=help_text)


def pick_model() -> str:
    """A model's name: one that is on this machine, or a folder or hub id that the person types."""
    known = resources.model_names()
    return typed(
        "Model",
        list(known),
        "model",
        "Pick one, or type a local folder, a GGUF file or a hub id (no pickled weights, no remote code). The Models page lists what is "
        "available.",
        lambda model: known.get(model) or model_name(model),
    )


def pick_source(default: str | None = None) -> str:
    """A fact source's name: one that can be opened now, or a path or hub id that the person types."""
    about = "Pick a source, or type a file, a folder, or hub:owner/name."
    return typed("Facts", resources.sources(), "source", about, source_name, default)


def pick_split() -> str:
    names = {"test": "test", "dev": "dev", "train": "train", "all": "all splits"}
    return linked("Split", ("test", *(s for s in records.SPLITS if s != "test"), "all"), "split", lambda split: names[split])


def pick_domain() -> str:
    return linked("Domain", tuple(DOMAIN_CHOICES), "domain", lambda domain: DOMAIN_CHOICES[domain])


def pick_method() -> str:
    """How levels are measured: a level scheme's method."""
    return linked("Measured by", tuple(records.METHODS), "method", records.METHODS.__getitem__, help=METHOD_HELP)


def pick_run(stamp: str) -> str:
    """The id of one of `resources.runs(stamp)`: pinned ones first on the list, the newest where the address names none."""
    names, newest = run_names(stamp), resources.runs(stamp)[0].id
    if (wanted := address.value("run")) is not None and wanted not in names and (why := label_reads.why_gone(wanted)):
        _dropped("run", f"The run '{literal(wanted[:80])}' is not shown. {sentence(why)}")
    about = "★: pinned. Type a name, a tag (#paper) or a part of the settings to search."
    return linked("Run", list(names), "run", names.__getitem__, first="the newest", explicit=True, default=newest, help=about)


def pick_scheme(first: Any, second: Any) -> records.LevelScheme:
    """A level scheme, picked in two columns. Raises `SettingsError` for cut-offs that can't be used, after they are drawn."""
    with first:
        by = _pick_levels()
    with second:
        if by == "paper":
            return replace(records.PAPER, method=pick_method())
        return _own_cutoffs() if by == "cutoffs" else records.SCHEMES[by]


def picked_scheme(wrong: list[str]) -> records.LevelScheme:
    """The same in one column, as the Lab asks for it: by the full probe. What is wrong is added to `wrong`."""
    by = _pick_levels()
    try:
        return _own_cutoffs() if by == "cutoffs" else records.SCHEMES[by]
    except SettingsError as error:
        wrong += error.problems
        return records.PAPER


def _pick_levels() -> str:
    return linked("Levels by", tuple(LEVELS_BY), "levels", lambda by: LEVELS_BY[by], help=_SCHEME_HELP)


def _own_cutoffs() -> records.LevelScheme:
    """Cut-offs in a popover; they hold on other pages, and a link carries them."""
    cutoffs = _linked_cutoffs()
    st.session_state["cut-levels"] = len(cutoffs) + 1
    with st.popover("Cut-offs", icon=":material/tune:", width="stretch"):
        st.caption("Changing the cut-offs needs no new probe.")
        st.number_input("Levels", 2, MOST_CUTOFFS + 1, key="cut-levels", on_change=_change_cutoffs)
        for at, cut in enumerate(cutoffs):
            st.session_state[f"cut-{at}"] = cut
            st.number_input(f"L{at}: R up to", 0.0, 0.99, step=0.05, key=f"cut-{at}", on_change=_change_cutoffs)
    return records.with_cutoffs(cutoffs)


def _linked_cutoffs() -> tuple[float, ...]:
    """What the address says, in any order that a person is about to change; the paper's where it says nothing that can be used."""
    wanted = address.value("cut")
    try:
        cutoffs = records.read_cutoffs(wanted or records.PAPER.written_cutoffs)
        if 1 <= len(cutoffs) <= MOST_CUTOFFS and all(0 <= cut < 1 for cut in cutoffs):
            return cutoffs
        records.with_cutoffs(cutoffs)  # says what is wrong
    except SettingsError as error:
        _dropped("cut", f"{sentence(str(error))} Showing the paper's.")
    return records.PAPER.cutoffs


def _change_cutoffs() -> None:
    cuts: list[float] = []
    for at in range(int(st.session_state["cut-levels"]) - 1):
        cuts.append(round(float(st.session_state.get(f"cut-{at}", (1 + (cuts[-1] if cuts else 0)) / 2)), 2))
    address.put(cut=",".join(f"{cut:g}" for cut in cuts))


def scheme_address(scheme: records.LevelScheme) -> dict[str, str]:
    """The parameters with which the picker holds these levels."""
    if scheme.by_statements and scheme.cutoffs != records.PAPER.cutoffs and len(scheme.cutoffs) <= MOST_CUTOFFS:
        return {"levels": "cutoffs", "cut": scheme.written_cutoffs}
    named = next((name for name, known in records.SCHEMES.items() if known == scheme), "paper")
    return {} if named == "paper" else {"levels": named}
