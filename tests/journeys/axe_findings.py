"""What axe finds on a page."""

from typing import Any

GRAVE = ("serious", "critical")
# What Streamlit draws itself and no setting, theme or style of ours reaches: (rule, part of the element's HTML) -> why it stays.
STREAMLITS_OWN: dict[tuple[str, str], str] = {}
# What fades in or out has no colour of its own yet.
_STILL = "document.getAnimations().every(one => one.playState !== 'running' || one.effect?.getComputedTiming().endTime === Infinity)"
MET: set[tuple[str, str]] = set()  # those that a page needed


def findings(page: Any, part: str | None = None) -> list[str]:
    """Grave findings that are not on the list, a line each; `part`: a selector, else the whole page."""
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_function(_STILL, polling=100)
    lines = []
    for violation in Axe().run(page, context=part).response["violations"]:
        for node in violation["nodes"] if violation["impact"] in GRAVE else ():
            known = [entry for entry in STREAMLITS_OWN if entry[0] == violation["id"] and entry[1] in node["html"]]
            MET.update(known)
            if not known:
                lines.append(f"{violation['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})")
    return lines
