"""Start a probe of facts that have no level yet."""

import streamlit as st

from pages._ui import background, resources, state
from pages._ui.fields import field
from pages._ui.panels import needs_torch
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.runs.job_panel import job_panel
from pages._ui.wording import literal, span
from sftqa_core.records import Job, LevelScheme, ProbeSettings, SamplerSettings


def probe_button(model: str, source: str, split: str, domain: str, scheme: LevelScheme, left: int) -> None:
    """A popover with what probing the remaining facts costs, and the button that starts it."""
    done = None if left else "All of these facts have been probed."
    with st.popover(
        "Probe", icon=":material/network_intelligence:", disabled=not left, on_change="rerun", key="probe-box", help=done
    ) as box:
        if not box.open:
            return
        limit = field(st, ProbeSettings, "limit", "probe", [], placeholder=f"all {left:,} remaining")
        there = resources.gpus()
        gpus = field(st, ProbeSettings, "gpus", "probe", [], high=there) if there > 1 else 1
        device = field(st, ProbeSettings, "device", "probe", []) if there > 1 and gpus == 1 else "auto"
        form = field(st, ProbeSettings, "number_format", "probe", []) if resources.processor_bfloat16() else "default"
        if form != "default":
            st.caption("These levels are kept apart from float32's, and compared with them under 'How far can these levels be trusted?'.")
        settings = ProbeSettings(model, source, split, domain, limit, scheme, device=device, gpus=gpus, number_format=form)
        ready = cost_panel(settings)
        if resources.missing_torch():
            needs_torch("Probing")
            ready = False
        st.button("Start probing", type="primary", disabled=not ready, key="probe-start", on_click=_probe, args=(settings,))


def second_probe(model: str, source: str, split: str, domain: str, left: int, begun: bool) -> None:
    """Starts the full probe once more with other random numbers, or finishes it, and shows its job where it was asked for.

    How far two full probes agree is what chance alone does.
    """
    settings = ProbeSettings(model, source, split, domain, scheme=LevelScheme(sampling=SamplerSettings(seed=1)))
    jobs = state.watched_jobs("probe", is_second)
    active = any(job.state in background.ACTIVE for job in jobs)
    words = f"Finish the second probe ({left:,} facts left)" if begun else "Probe again with another seed"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "In progress" if active else words,
            icon=":material/casino:",
            key="probe-again",
            on_click=_probe,
            args=(settings,),
            disabled=active,
        )
        if not active:
            cost = resources.forecast(settings, background.stamp())
            where = literal(background.done_by(settings))
            st.caption(f"{cost.probes_needed:,} facts, about {span(cost.seconds_low, cost.seconds_high)} {where}", width="content")
    for job in jobs:
        job_panel(job, "trust", charts=False)


def is_second(job: Job) -> bool:
    """Whether a probe has another seed than the first one; its panel is shown in the comparison of probes."""
    scheme = job.settings.get("scheme") or {}
    return bool((scheme.get("sampling") or {}).get("seed"))


def _probe(settings: ProbeSettings) -> None:
    state.start(lambda: background.submit("probe", settings, background.expected_s(settings)))
    st.session_state["probe-box"] = False
