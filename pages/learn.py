"""How does one learn this in ten minutes? A lesson on a tiny model: guess, run it, see what came out. Also for a class."""

import streamlit as st

from pages._ui import panels
from pages._ui.learn import amount_step, asking_step, lesson, memory_step, models_step, own_step, unknown_step

NAMES = {
    "Ask": asking_step,
    "Guess a level": memory_step,
    "Train": amount_step,
    "Unknown facts": unknown_step,
    "Two models": models_step,
    "Your own facts": own_step,
}

if not lesson.presents():
    st.title("Learn")
    st.caption("Ten minutes on a tiny model. Guess first; each step is a run on this machine, or reads what was measured.")

with panels.errors_shown():
    lesson.needs_model()
lesson.draw_step([lesson.Step(name, step.QUESTION, step.SCREENS, step.WHY, step.TEACH) for name, step in NAMES.items()])
if not lesson.presents():
    panels.planted()
