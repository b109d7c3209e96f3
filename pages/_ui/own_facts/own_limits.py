"""What may not be claimed from a model that was made from one's own facts, and the commands that do the same."""

import streamlit as st

from pages._ui import panels
from pages._ui.wording import literal
from sftqa_core.records import PretrainSettings, ProbeSettings, TrainSettings
from sftqa_core.records.job import command_of

LIMITS = (
    "**Nothing about large models.** A tiny model that read only these facts shows the mechanism, no more.",
    "**How often a fact is stated was chosen here**, not found in the world. That levels follow it shows that the probe works.",
    "**The sentences are filled-in templates.** Real text says things in more ways, and in passing.",
    "**Nothing is contested.** No text names a wrong answer, so the middle levels may stay thin.",
    "**One training, one seed.** Intervals are over facts; another seed may differ by more.",
    "**A model learns to answer because its text has questions.** Without them 60 examples would not be enough.",
    "**Below 30 facts** nothing is said, at a level or in all.",
)


def limits_box() -> None:
    """Stands beside the steps from the beginning."""
    with st.container(border=True, key="own-limits"):
        st.markdown("**What this can't tell**")
        st.markdown("\n".join(f"- {text}" for text in LIMITS))


def commands(made: PretrainSettings, probe: ProbeSettings, runs: list[TrainSettings]) -> None:
    """The whole row from a terminal."""

    def listed() -> None:
        lines = [command_of(made), command_of(probe), *map(command_of, runs), "sftqa runs", "sftqa compare RUN RUN"]
        st.code("\n".join(lines), language="bash", wrap_lines=True)
        st.caption(f"Each tells what it costs first. The model's name, {literal(made.name)}, may be any other.")

    panels.folded("The same from a terminal", "command", ":material/terminal:", listed)
