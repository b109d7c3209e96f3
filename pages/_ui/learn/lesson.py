"""The frame of the lesson: which step the address names, the way back and on, presenter mode, the folds below each step.

In presenter mode the page has large type and nothing but the step (look.py); the arrow keys, the keys of a presenter's remote and Space
turn its page, Escape leaves it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._ui import address, panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.learn.learn_reads import MODEL
from pages._ui.wording import literal, percent
from sftqa_core.errors import SftqaError
from sftqa_core.records import MeanAccuracy

PRESENTS = "present"  # of the address


@dataclass(frozen=True)
class Step:
    """One step of the lesson."""

    name: str  # in the row of steps
    question: str
    draw: Callable[[], None]  # one thing to do, and one sentence of what came out
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
    names = [str(at + 1) for at in range(len(steps))]
    presenting = presents()
    if presenting:
        with st.container(key="presenting"):
            at = _named(names)
            st.caption(f"{at + 1} of {len(steps)}")
    else:
        picked = pickers.linked_choice(
            "Step", names, "step", lambda name: f"{name} · {steps[int(name) - 1].name}", label_visibility="collapsed"
        )
        at = names.index(picked)
    step = steps[at]
    (st.title if presenting else st.header)(step.question, anchor=False)
    try:
        step.draw()
    except SftqaError as error:  # the other steps can still be reached
        panels.problem(str(error))
    _ways(at, len(steps), presenting)
    panels.folded("Why? The method", f"why-{at + 1}", ":material/help:", lambda: st.markdown(step.why))
    if not presenting:
        panels.folded("For teachers: what to ask the class", f"teach-{at + 1}", ":material/school:", lambda: st.markdown(step.teach))


def _named(names: Sequence[str]) -> int:
    """The step of the address, from 0; the first where it names none that is there."""
    wanted = address.value("step") or names[0]
    if wanted not in names:
        address.put(step=None)
        address.say_wrong(f"There is no step '{literal(wanted[:80])}' here; showing the first.")
        return 0
    return names.index(wanted)


def _ways(at: int, count: int, presenting: bool) -> None:
    """Back, next, and in or out of presenter mode."""
    keys = ("Left", "Right", "Esc") if presenting else (None, None, None)
    with st.container(horizontal=True, vertical_alignment="center", key="learn-ways"):
        st.button(
            "Back", key="learn-back", icon=":material/arrow_back:", disabled=at == 0, shortcut=keys[0], on_click=_turn, args=(at - 1,)
        )
        st.button(
            "Next", key="learn-next", icon=":material/arrow_forward:", type="primary", disabled=at == count - 1, shortcut=keys[1],
            on_click=_turn, args=(at + 1,),
        )  # fmt: skip
        if presenting:
            st.button(
                "Leave", key="learn-leave", icon=":material/close:", type="tertiary", shortcut=keys[2], on_click=_present, args=(None,)
            )
        else:
            st.button(
                "Present", key="learn-present", icon=":material/slideshow:", type="tertiary", on_click=_present, args=("1",),
                help="Large type, one question a screen. Arrow keys, Space or a remote turn the page, Escape leaves.",
            )  # fmt: skip


def _turn(at: int) -> None:
    address.put(step=str(at + 1) if at else None)


def _present(value: str | None) -> None:
    address.put(**{PRESENTS: value})


def outcome(text: str) -> None:
    """The one sentence of what came out; `text` is markdown."""
    with st.container(border=True, key="learn-outcome"):
        st.markdown(text)


def chart(figure: Callable[[], Any], key: str, alt: str, of: Hashable) -> None:
    """A chart of the lesson, `of` as `charts.draw` has it: in presenter mode its words are larger, so it makes room for them."""
    presenting = presents()

    def large() -> Any:
        made = figure()
        made.update_xaxes(automargin=True)
        made.update_yaxes(automargin=True, title_standoff=12)
        return made.update_layout(height=round(1.25 * made.layout.height))

    draw(large if presenting else figure, key=key, alt=alt, of=(of, presenting))


def share(mean: MeanAccuracy) -> str:
    """38.0% (35.6 to 40.5%; 1,520 facts)."""
    if mean.value is None or mean.low is None or mean.high is None:
        return "no facts to ask"
    return f"**{percent(mean.value)}** ({mean.low * 100:.1f} to {mean.high * 100:.1f}%; {mean.n:,} facts)"
