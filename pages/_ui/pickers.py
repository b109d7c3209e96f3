"""Pickers: each draws one choice, keeps it in the page's address so that a link can be shared, and returns it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.titles import model_name, run_title, source_name
from pages._ui.wording import literal
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
DOMAIN_CHOICES = {"all": "both domains", **records.DOMAIN_NAMES}


def linked(
    label: str, options: Sequence[str], key: str, names: Callable[[str], str] = str, keep: bool = True, first: str = "", **more: Any
) -> str:
    """A select box tied to the address's parameter `key`; what is picked holds on other pages too unless `keep` is off.

    A value in the address that is no option is dropped, and the page says so; `first` tells what the first option is.
    """
    widget, wanted = f"pick-{key}", st.query_params.get(key)
    if wanted in options:
        st.session_state[widget] = wanted
    elif st.session_state.get(widget) not in options:
        st.session_state[widget] = options[0]
    if wanted is not None and wanted not in options:
        del st.query_params[key]
        instead = (first if st.session_state[widget] == options[0] else "") or names(st.session_state[widget])
        st.warning(f"There is no {label.lower()} '{literal(wanted[:80])}' here; showing {literal(instead)}.", icon=":material/link_off:")
    elif st.session_state[widget] not in (wanted, options[0]):
        st.query_params[key] = st.session_state[widget]  # picked on another page: this page's address says it too

    def remember() -> None:
        st.query_params[key] = st.session_state[widget]

    kept = "session" if keep else None
    return st.selectbox(label, options, format_func=names, key=widget, on_change=remember, persist_state=kept, **more)


def typed(label: str, options: Sequence[str], key: str, help_text: str, names: Callable[[str], str] = str) -> str:
    """Like `linked`, but the person may also type something that is not in the list, and a link may hold it."""
    others = [value for value in (st.session_state.get(f"pick-{key}"), st.query_params.get(key)) if value and value not in options]
    return linked(label, [*options, *dict.fromkeys(others)], key, names, accept_new_options=True, help=help_text)


def pick_model() -> str:
    """A model's name: one that is on this machine, or a folder or hub id that the person types."""
    cards = resources.models()
    return typed(
        "Model",
        [card.name for card in cards],
        "model",
        "Pick one, or type a local folder, a GGUF file or a hub id (no pickled weights, no remote code). The Models page lists what is "
        "available.",
        model_name,
    )


def pick_source() -> str:
    """A fact source's name: one that can be opened now, or a path or hub id that the person types."""
    return typed("Facts", resources.sources(), "source", "Pick a source, or type a file, a folder, or hub:owner/name.", source_name)


def pick_split() -> str:
    names = {"test": "test", "dev": "dev", "train": "train", "all": "all splits"}
    return linked("Split", ("test", *(s for s in records.SPLITS if s != "test"), "all"), "split", lambda split: names[split])


def pick_domain() -> str:
    return linked("Domain", tuple(DOMAIN_CHOICES), "domain", lambda domain: DOMAIN_CHOICES[domain])


def pick_method() -> str:
    """How levels are measured: a level scheme's method."""
    return linked("Measured by", tuple(records.METHODS), "method", records.METHODS.__getitem__, help=METHOD_HELP)


@st.cache_resource(show_spinner=False, ttl=60)
def _run_names(stamp: str) -> dict[str, str]:
    """Title of each run by its id; titles that stand twice end in the id's last signs."""
    titles = {run.id: run_title(run) for run in resources.runs(stamp)}
    twice = {title for title, times in Counter(titles.values()).items() if times > 1}
    return {key: f"{title} · {key[-4:]}" if title in twice else title for key, title in titles.items()}


def pick_run(stamp: str) -> str:
    """The id of one of `resources.runs(stamp)`, the newest first."""
    names = _run_names(stamp)
    return linked("Run", list(names), "run", names.__getitem__, keep=False, first="the newest")


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
    _begin_cutoffs()
    kept: dict[str, Any] = {"persist_state": "session"}
    with st.popover("Cut-offs", icon=":material/tune:", width="stretch"):
        st.caption("Changing the cut-offs needs no new probe.")
        levels = int(st.number_input("Levels", 2, MOST_CUTOFFS + 1, key="cut-levels", **kept))
        cuts = []
        for at in range(levels - 1):
            if f"cut-{at}" not in st.session_state:
                st.session_state[f"cut-{at}"] = round((1 + cuts[-1]) / 2, 2)
            cuts.append(round(float(st.number_input(f"L{at}: R up to", 0.0, 0.99, step=0.05, key=f"cut-{at}", **kept)), 2))
    scheme = records.with_cutoffs(cuts)
    st.query_params["cut"] = scheme.written_cutoffs
    return scheme


def _begin_cutoffs() -> None:
    """Fill in what the address says, once a visit; else the paper's."""
    if "cut-levels" in st.session_state:
        return
    cutoffs, wanted = records.PAPER.cutoffs, st.query_params.get("cut")
    if wanted is not None:
        try:
            cutoffs = records.with_cutoffs(records.read_cutoffs(wanted)).cutoffs
        except SettingsError as error:
            st.warning(f"{literal(str(error))} Showing the paper's.", icon=":material/link_off:")
    st.session_state["cut-levels"] = len(cutoffs) + 1
    st.session_state.update({f"cut-{at}": cut for at, cut in enumerate(cutoffs)})


def filled_scheme(scheme: records.LevelScheme) -> dict[str, Any]:
    """What the picker has to hold for these levels; for a scheme that it does not know, the paper's."""
    if not scheme.by_statements or scheme.cutoffs == records.PAPER.cutoffs:
        return {"pick-levels": next((name for name, known in records.SCHEMES.items() if known == scheme), "paper")}
    if len(scheme.cutoffs) > MOST_CUTOFFS:
        return {"pick-levels": "paper"}
    return {"pick-levels": "cutoffs", "cut-levels": len(scheme.labels), **{f"cut-{at}": cut for at, cut in enumerate(scheme.cutoffs)}}
