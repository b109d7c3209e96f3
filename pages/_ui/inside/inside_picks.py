"""Which run to look inside, in the address; and the panel that starts a look."""

from dataclasses import replace
from typing import Any

import streamlit as st

from pages._ui import address, background, pickers, resources, state
from pages._ui.compare import compare_reads
from pages._ui.compare.compare_picks import cell_words
from pages._ui.inside import inside_reads
from pages._ui.labels import label_reads
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.runs.job_panel import job_panel
from pages._ui.titles import differences, labelled, model_name, run_titles, source_name
from pages._ui.wording import literal, sentence
from sftqa_core.jsonrecord import declared
from sftqa_core.records import ACTIVE, MEASURES, TrainSettings


def pick(stamp: str) -> tuple[str, list[Any]]:
    """A run's or cell's name, and the looks at all seeds of its setting, its own first; none where nobody has looked yet."""
    seeds, asked = inside_reads.by_name(stamp), address.value("run") or ""
    titles = {}
    for looks in inside_reads.groups(stamp):
        named = asked in seeds and seeds[asked][0].run in [look.run for look in looks]
        numbers = ", ".join(str(look.settings.seed) for look in looks)
        titles[asked if named else looks[0].name] = f"{words_of(looks[0].settings)} · seed{'s' if len(looks) > 1 else ''} {numbers}"
    waiting = {run.id for run in resources.runs(stamp) if run.n and run.id not in seeds and not run.bundle}
    titles |= {name: f"{title} · not looked at yet" for name, title in run_titles(stamp).items() if name in waiting}
    if asked not in titles:  # a cell of a study, by a link
        titles |= {
            name: f"{words_of(run)} · seed {run.seed} · not looked at yet"
            for name, run in compare_reads.known_settings((asked,), stamp).items()
        }
    if not titles:
        return "", []
    if asked and asked not in titles and (why := label_reads.why_gone(asked)):
        address.put(run=None)
        address.say_wrong(f"The run '{literal(asked[:80])}' is not shown. {sentence(why)}")
    first = next(iter(titles))
    titles = labelled(titles, "run")
    name = pickers.linked("Run", list(titles), "run", titles.__getitem__, explicit=True, default=first)
    return name, sorted(seeds.get(name, []), key=lambda look: name not in look.names)


def words_of(settings: TrainSettings) -> str:
    """Model, facts, what it was tuned on, and every other setting that differs."""
    bare = replace(settings, levels=None, seed=0, shots=declared(TrainSettings)["shots"].default)  # said, or unused
    more = differences(bare)
    return " · ".join([model_name(settings.model), source_name(settings.source), cell_words(settings, seed=False), *more])


def start_panel(name: str, taken: tuple[str, ...], stamp: str) -> None:
    """Choose measures, see what they cost, start the job; or the job's panel. `taken`: measures that are there; nothing where all are."""
    if ":" not in name and all(run.id != name for run in resources.runs(stamp)):  # what was seen inside it stays
        st.caption(sentence(f"The run {name} is not here any more, so nothing else can be looked at. {label_reads.why_gone(name)}".strip()))
        return
    left = [measure for measure in inside_reads.settings(name, (), stamp).measures if measure not in taken]
    if not left:
        return
    if taken:
        st.subheader("Not looked at yet", anchor=False)
    measures = pickers.linked_pills("Look at", left, "measures", usual=left, format_func=MEASURES.get)
    jobs = state.watched_jobs("inside", lambda job: job.settings.get("name") == name)
    for job in jobs:
        job_panel(job, "inside", charts=False)
    if any(job.state in ACTIVE for job in jobs) or not measures:
        return
    settings = inside_reads.settings(name, tuple(measures), stamp)
    st.caption(
        "The model is made again from its settings where its weights were not kept, and its answers are checked against the stored ones. "
        "Learning curves always need the training itself."
    )
    if cost_panel(settings):
        start = (background.submit, "inside", settings, background.expected_s(settings))
        st.button("Look inside", key="inside-start", type="primary", icon=":material/search:", on_click=state.start, args=start)
