"""What was looked at before work starts: one line when all is well, the findings with their fixes behind it."""

from __future__ import annotations

import streamlit as st

from pages._ui.wording import literal
from sftqa_core.records import Check, Preflight

ICONS = {
    "problem": ":red[:material/block:]",
    "note": ":orange[:material/info:]",
    "unknown": ":gray[:material/help:]",
    "ok": ":green[:material/check:]",
}


def checks_panel(preflight: Preflight) -> bool:
    """Draw the findings, problems first, open only where there are some; True when nothing stands in the way."""
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
    fix = f" :gray[→ {literal(check.fix)}]" if check.fix else ""
    return f"{ICONS[check.state]} {about}{literal(check.said)}{fix}"
