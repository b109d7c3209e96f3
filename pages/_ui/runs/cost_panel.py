"""What work will cost, and what preflight found, before it starts."""

import streamlit as st

from pages._ui import background, resources
from pages._ui.panels import problem
from pages._ui.wording import literal, sentence, span
from sftqa_core.errors import SftqaError
from sftqa_core.records import (
    Check,
    InsideSettings,
    Preflight,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
)

ICONS = {
    "problem": ":red[:material/block:]",
    "note": ":orange[:material/info:]",
    "unknown": ":gray[:material/help:]",
    "ok": ":green[:material/check:]",
}


def cost_panel(settings: background.Costly, started: bool = False) -> bool:
    """Draw the forecast, and what is queued before it unless it is `started` already; True when the work can start."""
    try:
        forecast = resources.forecast(settings, background.stamp())
    except SftqaError as error:
        problem(str(error))
        return False
    if forecast.problems:  # what can't be done costs nothing
        for text in forecast.problems:
            problem(text, ":material/block:")
        return False
    runs = forecast.runs if isinstance(settings, StudySettings | SweepSettings) else 0
    if isinstance(settings, ProbeSettings):
        counts = {"Facts to probe": forecast.probes_needed}
    elif isinstance(settings, PretrainSettings):
        size = forecast.pretraining
        counts = {"Facts": size.facts, "Statements": size.statements, "Steps, about": size.steps}
    else:
        first = {"Examples": forecast.examples} if isinstance(settings, TrainSettings | InsideSettings) else {"Runs left": runs}
        facts = "Dev facts" if isinstance(settings, SweepSettings) else "Test facts"
        counts = {**first, "Steps": forecast.steps, facts: forecast.test_facts}
        counts |= {"Probes needed": forecast.probes_needed} if forecast.probes_needed else {}
    with st.container(horizontal=True, gap="large"):
        for label, count in counts.items():
            st.metric(label, f"{count:,}", width="content")
    if not isinstance(settings, TrainSettings | InsideSettings | PretrainSettings) and not forecast.probes_needed + runs:
        st.caption("Every run is done already. Change something to start more.")
        return False
    waits = "" if started else background.starts_after(settings)
    st.markdown(f"**About {span(forecast.seconds_low, forecast.seconds_high)}** {literal(background.done_by(settings))} {waits}".rstrip())
    if forecast.fit is not None and not background.cluster_for(settings):  # of whose memory nothing is known here
        st.markdown(f"**{forecast.fit.resource}:** {sentence(forecast.fit.line())}")
    for note in forecast.notes:
        if forecast.fit is None or note != forecast.fit.stands_against:  # which stands among the checks
            st.caption(sentence(note))
    return checks_panel(resources.preflight(settings, background.stamp(), forecast))


def checks_panel(preflight: Preflight) -> bool:
    """One line when all is well, the findings with their fixes behind it, problems first; True when there are none."""
    icon = ":material/task_alt:" if preflight.ok else ":material/block:"
    with st.expander(preflight.headline(), expanded=not preflight.ok, icon=icon):
        if findings := [_finding(check) for state in ("problem", "note", "unknown") for check in preflight.of(state)]:
            st.markdown("\n\n".join(findings))
        if fine := preflight.of("ok"):
            st.caption("  \n".join(map(_finding, fine)))
    return preflight.ok


def _finding(check: Check) -> str:
    """One finding: an icon, the sentence, the fix."""
    about = f"**{literal(check.about)}** " if check.about else ""
    fix = f" :gray[→ {sentence(check.fix)}]" if check.fix else ""
    return f"{ICONS[check.state]} {about}{sentence(check.said)}{fix}"
