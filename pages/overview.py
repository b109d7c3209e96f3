"""What is this? One screen, drawn from the shipped example run."""

import streamlit as st

from pages._ui import address, panels, resources
from pages._ui.gallery_panel import gallery_panel
from pages._ui.links import open_page
from pages._ui.real_models import real_reads
from pages._ui.runs.result_panels import accuracy_charts
from pages._ui.wording import literal, percent
from sftqa_core.records import STUDIES

TEMPLATES = 21  # of each relation (METHOD section 1)

st.title("What does fine-tuning do to what a model knows?")
st.markdown(
    "A language model holds some facts firmly, some barely and some not at all. This explorer measures that **memory level** fact by "
    "fact, fine-tunes the model on a few question-answer pairs, and shows how often it answers correctly at each level, before and after. "
    "It lets you explore the questions of *60 Data Points are Sufficient to Fine-Tune LLMs for Question-Answering* (arXiv 2409.15825)."
)

with st.container(horizontal=True, gap="medium"):
    st.page_link("pages/learn.py", label="**Learn**: a lesson of ten minutes", icon=":material/school:")
    st.page_link("pages/memory.py", label="**Explore**: what a model knows", icon=":material/psychology:")
    st.page_link("pages/own_facts.py", label="**Own facts**: a model that read yours", icon=":material/upload_file:")
    if real_reads.with_results():
        st.page_link("pages/real_models.py", label="**Real models**: what they know of real facts", icon=":material/public:")

with panels.errors_shown():
    example = resources.example()

if example is None:
    gone = "No example run ships with this copy"
    if resources.models():
        panels.empty(f"{gone}. Start one in the Lab: it takes about a minute.", "pages/lab.py", "Open the Lab")
    else:
        panels.empty(f"{gone}, and there is no model on this machine yet. Add one first.", "pages/available_models.py", "Open Models")
    address.over()

summary, settings = example
labels, cutoffs = settings.scheme.labels, settings.scheme.cutoffs
before, after = (percent(stage["in"].macro, 0) for stage in (summary.before, summary.after))
st.subheader(f"One run: {summary.n} examples, and what it changed", anchor=False)
accuracy_charts(summary, settings, where="overview", height=300)
completions = TEMPLATES * settings.scheme.sampling.samples
st.caption(
    f"Model {literal(settings.model)}, held-out facts of the built-in world. In-domain mean over levels: {before} before, {after} after. "
    f"{labels[0]}: the answer never came up in {completions} sampled completions; {', '.join(labels[1:-1])}: in up to "
    f"{', '.join(f'{cut:.0%}' for cut in cutoffs[1:])} of them; {labels[-1]}: in more. Triangles: the base model with "
    f"{settings.shots}-shot examples. Dashes (majority object): always the relation's most frequent object. "
    "Bars: Wilson 95% intervals. Hollow markers: fewer than 30 facts, too few to tell."
)
with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
    if st.button("Run it yourself in the Lab", type="primary", icon=":material/science:"):
        open_page("pages/lab.py")
    st.page_link("pages/results.py", label="Open this run", icon=":material/insights:", query_params={"run": summary.run})
st.subheader("Studies of hundreds of runs", anchor=False)
with st.container(horizontal=True, gap="small"):
    for study in STUDIES.values():
        st.page_link(study.page, label=study.title, icon=study.icon)
gallery_panel()
panels.planted()
