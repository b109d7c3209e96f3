"""Charts as the page shows them: in the page's own text colour, which plotly's theme would make a faint grey."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from pages._ui import drawn
from sftqa_core.figures.style import CHART_CONFIG

_KEPT = 400  # figures; each some 50 kB
_drawn: OrderedDict[Any, Any] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Point:
    """What was clicked in a figure: which trace, which of its points, and where that lies."""

    trace: int
    at: int
    x: Any
    y: Any


def draw(figure: Any, key: str, alt: str, place: Any = st, of: Hashable = None, clickable: bool = False,
         height: Literal["content", "stretch"] = "content") -> Point | None:  # fmt: skip
    """Draw a figure at `place` (a column, or where the script stands); `alt` says what it shows.

    `figure` may be a function that makes it. With `of`, which names everything that the figure depends on, it is made once and kept
    for all sessions: making it takes plotly longer than everything else on a page together. If it is `clickable`, the point or bar
    that was clicked just now is returned, once: None at every other run of the script. `height`: the figure's own, or that of its place.
    """

    def made_for(theme: str) -> Any:
        return _coloured(figure, theme) if of is None else _kept(figure, theme, (key, of))

    drawn.note_chart(key, alt, made_for)
    made = made_for(st.context.theme.type or "light")
    if not clickable:
        place.plotly_chart(made, config=CHART_CONFIG, key=key, alt=alt, height=height)
        return None
    place.plotly_chart(made, config=CHART_CONFIG, key=key, alt=alt, on_select=lambda: _clicked(key), selection_mode="points")
    point = st.session_state.pop(f"{key}-clicked", None)
    return point if isinstance(point, Point) else None


def _clicked(key: str) -> None:
    """Keep what was clicked for the run that follows. A click on the point that is picked already un-picks it: it counts all the same."""
    points = st.session_state[key].selection.points
    last = f"{key}-last"
    if points:
        point = points[0]
        st.session_state[last] = Point(point["curve_number"], point["point_index"], point.get("x"), point.get("y"))
    if last in st.session_state:
        st.session_state[f"{key}-clicked"] = st.session_state[last]


def _kept(figure: Any, theme: str, of: Hashable) -> Any:
    with _lock:
        if (known := _drawn.pop((theme, of), None)) is not None:
            _drawn[theme, of] = known
            return known
    made = _coloured(figure, theme)
    with _lock:
        _drawn[theme, of] = made
        while len(_drawn) > _KEPT:
            _drawn.popitem(last=False)
    return made


def _coloured(figure: Any, theme: str) -> Any:
    """The figure in the page's colours."""
    from plotly.graph_objects import Figure

    from sftqa_core.figures.themes import themed

    return Figure(themed(figure() if callable(figure) else figure, theme), _validate=False)
