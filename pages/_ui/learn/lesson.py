"""The frame of the lesson: which step the address names, the way back and on, presenter mode, the folds below each step.

In presenter mode the page has large type and nothing but one screen of the step (look.py); the arrow keys, the keys of a presenter's
remote and Space turn its page, Escape leaves it.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._ui import address, panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.learn.learn_reads import MODEL
from pages._ui.links import page_link
from pages._ui.wording import literal, percent
from sftqa_core.errors import SftqaError
from sftqa_core.records import MeanAccuracy

PRESENTS, SCREEN = "present", "screen"  # of the address


@dataclass(frozen=True)
class Step:
    """One step of the lesson."""

    name: str  # in the row of steps
    question: str
    screens: Sequence[Callable[[], None]]  # one thing to do each, and what came out; below each other unless they are presented
    why: str  # the method, markdown
    teach: str  # what to ask the class, markdown


def presents() -> bool:
    """Whether the page is shown to a class."""
    return address.value(PRESENTS) == "1"


def needs_model() -> None:
    """Ends the page where the lesson's model is not on this machine."""
    if resources.model_card(MODEL) is None:
        if not resources.models():
            panels.no_models()
        panels.empty(
            f"The lesson is given on the built-in model {MODEL}, which this copy lacks.", "pages/available_models.py", "Open Models"
        )
        address.over()


def draw_step(steps: Sequence[Step]) -> None:
    """The step that the address names: its question, what there is to do, the way on, the folds."""
    if presents():
        with st.container(key="presenting"):
            _present_screen(steps)
        return
    names = _numbers(steps)
    picked = pickers.linked_choice(
        "Step", names, "step", lambda name: f"{name} · {steps[int(name) - 1].name}", label_visibility="collapsed"
    )
    at = names.index(picked)
    step = steps[at]
    st.header(step.question, anchor=False)
    for screen in step.screens:
        _shown(screen)
    with st.container(horizontal=True, vertical_alignment="center", key="learn-ways"):
        _turning((at - 1, 0) if at else None, (at + 1, 0) if at + 1 < len(steps) else None)
        st.button(
            "Present", key="learn-present", icon=":material/slideshow:", type="tertiary", on_click=_present, args=("1",),
            help="Large type, one thing a screen. Arrow keys, Space or a remote turn the page, Escape leaves.",
        )  # fmt: skip
    panels.folded("Why? The method", f"why-{at + 1}", ":material/help:", lambda: st.markdown(step.why))
    panels.folded("For teachers: what to ask the class", f"teach-{at + 1}", ":material/school:", lambda: st.markdown(step.teach))


def _present_screen(steps: Sequence[Step]) -> None:
    """One screen of a step, and the bar below it with the way on: it stands still while the page turns."""
    at = _named("step", _numbers(steps))
    step = steps[at]
    screen = _named(SCREEN, _numbers(step.screens))
    bar = st.container(horizontal=True, vertical_alignment="center", key="presented-ways")  # first: what a screen draws can't replace it
    st.title(step.question, anchor=False)
    _shown(step.screens[screen])
    order = [(step, screen) for step in range(len(steps)) for screen in range(len(steps[step].screens))]
    place = order.index((at, screen))
    with bar:
        _turning(order[place - 1] if place else None, order[place + 1] if place + 1 < len(order) else None, ("Left", "Right"))
        st.button("Leave", key="learn-leave", icon=":material/close:", type="tertiary", shortcut="Esc", on_click=_present, args=(None,))
        with st.popover("Why?", icon=":material/help:", type="tertiary", key=f"why-popped-{at + 1}"):
            st.markdown(step.why)
        several = f", screen {screen + 1} of {len(step.screens)}" if len(step.screens) > 1 else ""
        st.caption(f"Step {at + 1} of {len(steps)}{several}")


def _shown(screen: Callable[[], None]) -> None:
    try:
        screen()
    except SftqaError as error:  # the other steps can still be reached
        panels.problem(str(error))


def _numbers(things: Sequence[object]) -> list[str]:
    return [str(at + 1) for at in range(len(things))]


def _named(key: str, names: Sequence[str]) -> int:
    """The step, or the screen of a step, of the address, from 0; the first where it names none that is there."""
    wanted = address.value(key) or names[0]
    if wanted not in names:
        address.put(**{key: None})
        address.say_wrong(f"There is no {key} '{literal(wanted[:80])}' here; showing the first.")
        return 0
    return names.index(wanted)


def _turning(back: tuple[int, int] | None, following: tuple[int, int] | None, keys: Sequence[str | None] = (None, None)) -> None:
    """The buttons to the step and screen before and after this one; None: there is none."""
    st.button("Back", key="learn-back", icon=":material/arrow_back:", disabled=back is None, shortcut=keys[0], on_click=_turn, args=(back,))
    st.button(
        "Next", key="learn-next", icon=":material/arrow_forward:", type="primary", disabled=following is None, shortcut=keys[1],
        on_click=_turn, args=(following,),
    )  # fmt: skip


def _turn(to: tuple[int, int]) -> None:
    address.put(**{key: str(at + 1) if at else None for key, at in zip(("step", SCREEN), to, strict=True)})


def _present(value: str | None) -> None:
    address.put(**{PRESENTS: value, SCREEN: None})


@contextmanager
def sides() -> Iterator[tuple[Any, Any]]:
    """Places for words and for the chart that they are about: below each other; where they are presented side by side, on one screen."""
    if not presents():
        yield st.container(), st.container()
        return
    with st.container(key="presented-sides", height="stretch"):
        words, chart = st.columns([2, 3])
        yield words, chart


def outcome(text: str) -> None:
    """The one sentence of what came out; `text` is markdown."""
    with st.container(border=True, key="learn-outcome"):
        st.markdown(text)


def chart(figure: Callable[[], Any], key: str, alt: str, of: Hashable) -> None:
    """A chart of the lesson, `of` as `charts.draw` has it. Presented, it is as high as its place and has room for larger words."""
    if not presents():
        draw(figure, key=key, alt=alt, of=of)
        return

    def large() -> Any:
        made = figure()
        made.update_xaxes(automargin=True)
        return made.update_yaxes(automargin=True, title_standoff=12)

    with st.container(key=f"presented-chart-{key}", height="stretch"):
        draw(large, key=key, alt=alt, of=(of, PRESENTS), height="stretch")


def way_on(label: str, key: str, runs: Sequence[str]) -> None:
    """A link to these runs on Compare; none where they are presented."""
    if not presents():
        to = {"runs": ",".join(runs), "pool": "1"}
        page_link("pages/compare.py", label, key, icon=":material/compare_arrows:", to=to)


def share(mean: MeanAccuracy) -> str:
    """38.0% (35.6 to 40.5%; 1,520 facts)."""
    if mean.value is None or mean.low is None or mean.high is None:
        return "no facts to ask"
    return f"**{percent(mean.value)}** ({mean.low * 100:.1f} to {mean.high * 100:.1f}%; {mean.n:,} facts)"
