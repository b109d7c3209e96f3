"""Bare Streamlit pages for pages.py: the kinds of elements that a page of the explorer has, nothing read and nothing computed.

    streamlit run benchmarks/bare_page.py, then /?part=table

Each has one choice that changes something to see. `form` and `page` are drawn anew as a whole at a choice, the others alone, as the
explorer's pieces are. What such a click takes, the explorer can't be faster than.
"""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

LEVELS = ("L0", "L1", "L2", "L3", "L4")
ROWS = 500


@st.cache_resource
def chart(choice: str, traces: int = 6) -> go.Figure:
    """Points in a few traces, their places by the choice."""
    at = LEVELS.index(choice)
    figure = go.Figure(layout={"height": 380, "margin": {"l": 64, "r": 8, "t": 40, "b": 44}, "xaxis": {"range": [-0.5, 4.5]}})
    for trace in range(traces):
        y = [((level + at + trace) % 5 + 0.5) / 6 for level in range(5)]
        error = {"type": "data", "array": [0.05] * 5}
        figure.add_scatter(name=f"line {trace}", x=list(range(5)), y=y, mode="lines+markers", error_y=error)
    return figure


@st.cache_resource
def rows(choice: str) -> pd.DataFrame:
    """A page of a table."""
    return pd.DataFrame(
        {name: [f"{choice} {name} {at}" for at in range(ROWS)] for name in ("subject", "answers", "relation", "domain", "level")}
    )


def choose(label: str = "Choice") -> str:
    """What is clicked."""
    return str(st.segmented_control(label, LEVELS, default="L0", required=True))


def filters() -> None:
    """Fields above a table."""
    for place, label in zip(st.columns(4), ("Level", "Relation", "Only", "Search"), strict=True):
        with place:
            if label == "Search":
                st.text_input(label)
            else:
                st.multiselect(label, LEVELS, key=label)


@st.fragment
def text() -> None:
    st.caption(f"The choice is {choose()}.")


@st.fragment
def table() -> None:
    choice = choose()
    filters()
    st.caption(f"{ROWS} rows of {choice}")
    st.dataframe(rows(choice), hide_index=True, height=330)


@st.fragment
def filtered() -> None:
    filters()
    choice = ",".join(st.session_state.get("Level", ()))
    left, right = st.columns([2, 5])
    left.dataframe(rows(choice).head(5), hide_index=True)
    right.caption(f"{ROWS} rows of {choice}")
    right.dataframe(rows(choice), hide_index=True, height=330)


@st.fragment
def one_chart() -> None:
    st.plotly_chart(chart(choose()), key="chart")


@st.fragment
def charts() -> None:
    choice = choose()
    for at, place in enumerate(st.columns(2)):
        place.plotly_chart(chart(choice), key=f"chart-{at}")


@st.fragment
def fact() -> None:
    choice = choose()
    filters()
    left, right = st.columns([3, 2])
    left.dataframe(rows(choice), hide_index=True, height=330)
    with right:
        words(choice, 6)
        st.plotly_chart(chart(choice, 1), key="chart")


def words(choice: str, count: int) -> None:
    for at in range(count):
        st.caption(f"Line {at} of {choice}.")


def form() -> None:
    choice = choose()
    for row in range(6):
        for at, place in enumerate(st.columns(3)):
            with place:
                field: Any = (st.selectbox, st.multiselect)[at % 2]
                field(f"Field {row} {at}", LEVELS)
    words(choice, 12)
    for at, place in enumerate(st.columns(4)):
        place.metric(f"Number {at}", f"{LEVELS.index(choice) + at}")


def page() -> None:
    choice = choose()
    for at, place in enumerate(st.columns(5)):
        with place:
            st.selectbox(f"Field {at}", LEVELS)
    words(choice, 12)
    for at, place in enumerate(st.columns(2)):
        place.plotly_chart(chart(choice), key=f"chart-{at}")
    filters()
    st.dataframe(rows(choice), hide_index=True, height=330)


PARTS = {"text": text, "table": table, "filter": filtered, "chart": one_chart, "charts": charts, "fact": fact, "form": form, "page": page}

if __name__ == "__main__":
    st.set_page_config(layout="wide")
    st.title("Bare page")
    PARTS[st.query_params["part"]]()
