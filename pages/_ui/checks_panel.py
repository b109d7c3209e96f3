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


def checks_panel(found: Preflight) -> bool:
    """Draw the findings, problems first, open only where there are some; True when nothing stands in the way."""
    icon = ":material/task_alt:" if found.ok else ":material/block:"
    with st.expander(found.headline(), expanded=not found.ok, icon=icon):
        if worth := [_finding(check) for state in ("problem", "note", "unknown") for check in found.of(state)]:
            st.markdown("\n\n".join(worth))
        if well := found.of("ok"):
            st.caption("  \n".join(map(_finding, well)))
    return found.ok


def _finding(check: Check) -> str:
    """One finding: an icon, the sentence, the fix."""
    about = f"**{literal(check.about)}** " if check.about else ""
    fix = f" :gray[→ {literal(check.fix)}]" if check.fix else ""
    return f"{ICONS[check.state]} {about}{literal(check.said)}{fix}"
