"""Learning rate by a sweep: what it costs, a job, a table of rates, and the chosen one into the Lab's form."""

import pandas as pd
import streamlit as st

from pages._ui import address, background, drawn, resources, state
from pages._ui.panels import needs_torch, problem
from pages._ui.runs import form_reads
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.runs.job_panel import job_panel
from pages._ui.wording import interval, literal, percent
from sftqa_core.errors import SftqaError
from sftqa_core.records import DOMAIN_NAMES, Job, RateAccuracy, SweepReport, SweepSettings, TrainSettings

MOST_SEEDS = 10


def sweep_button(settings: TrainSettings | None) -> None:
    """A popover beside the form: the cost of a sweep with these settings, its start, and what it found. Off while the form has a fault."""
    fault = settings is None or settings.n == 0
    with st.popover("Find the rate by a sweep", icon=":material/tune:", disabled=fault, on_change="rerun", key="sweep-box") as box:
        if not box.open or settings is None:
            return
        st.markdown(
            "Tunes with several rates around the default and measures each on **dev facts**, never on test facts. Nothing is kept but "
            "which answers were correct."
        )
        if not background.source_here(settings.source):
            st.caption("These facts are not on this machine yet: fetch them first.")
            return
        seeds = st.number_input("Seeds for each rate", 1, MOST_SEEDS, 3, key="sweep-seeds", persist_state="session")
        try:
            sweep = SweepSettings(settings, seeds=tuple(range(int(seeds))))
            report = form_reads.sweep_report(sweep, background.stamp())
        except SftqaError as error:
            problem(str(error))
            return
        if report.done:
            sweep_table(report, "box")
        if report.done == report.planned:
            return
        ready = cost_panel(sweep)
        if resources.missing_torch():
            needs_torch("A sweep")
            ready = False
        expected = background.expected_s(sweep) if ready else ()
        start = (background.submit, "sweep", sweep, expected)
        st.button("Start the sweep", type="primary", disabled=not ready, key="sweep-start", on_click=_start, args=start)


def sweep_jobs() -> list[Job]:
    """Sweeps that run, wait or were looked at last, each with its table of rates; they are returned."""
    jobs = state.watched_jobs("sweep")
    for job in jobs:
        job_panel(job, "lab-sweep", charts=False)
        if job.state in ("done", "cancelled", "failed"):
            _found(job)
    return jobs


def sweep_table(report: SweepReport, where: str) -> None:
    """Rates and their accuracy on dev facts, what that means, and a button that fills in the chosen one."""
    st.markdown(f"**{report.done:,} of {report.planned:,} runs done**, {report.facts:,} {DOMAIN_NAMES[report.domain]} dev facts")
    rows = [
        {
            "rate": f"{row.rate:g}" + (" ✓" if row.rate == report.chosen else ""),
            "mean over levels": percent(row.macro),
            "95%": interval(row.macro_low, row.macro_high),
            "micro average": percent(row.micro),
            "95% ": interval(row.micro_low, row.micro_high),
            "seeds": row.seeds,
            "against the best": _against(row, report.chosen),
        }
        for row in report.rates
    ]
    drawn.note_table("learning rates", lambda: pd.DataFrame(rows))
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Accuracy on dev facts by learning rate")
    for words in report.words:
        st.caption(literal(words))
    if report.chosen is not None:
        label = f"Use {report.chosen:g}"
        st.button(label, type="primary", icon=":material/check:", key=f"sweep-use-{where}", on_click=_use, args=(report.chosen,))


def _found(job: Job) -> None:
    try:
        settings = SweepSettings.from_dict(job.settings)
        report = form_reads.sweep_report(settings, background.stamp())
    except SftqaError as error:
        st.caption(literal(str(error)))
        return
    if report.done:
        sweep_table(report, job.id)


def _start(*submit: object) -> None:
    st.session_state["sweep-box"] = False
    state.start(*submit)  # type: ignore[arg-type]


def _use(rate: float) -> None:
    st.session_state["sweep-box"] = False
    address.put(**{"lab.learning_rate": f"{rate:g}"})


def _against(row: RateAccuracy, chosen: float | None) -> str:
    if row.within_noise is None or row.rate == chosen:
        return ""
    return "within noise" if row.within_noise else "lower"
