"""What axe finds on a page."""

from typing import Any

from tests.browser.serving import PAGE_MS

GRAVE = ("serious", "critical")
# What fades in or out has no colour of its own yet: nothing may move, and no script run, for a while.
_STILL = """() => {
  const app = document.querySelector("[data-testid=stApp]")
  const fades = (one) => one.playState === "running" && one.effect?.getComputedTiming().endTime !== Infinity
  const runs = app?.dataset.testScriptState !== "notRunning" || document.querySelector("[data-stale=true]")
  const moves = runs || document.getAnimations().some(fades)
  window.stillSince = moves ? undefined : (window.stillSince ?? performance.now())
  return !moves && performance.now() - window.stillSince > 700
}"""


def findings(page: Any, part: str | None = None) -> list[str]:
    """Grave findings, a line each; `part`: a selector, else the whole page."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("window.stillSince = undefined")
    page.wait_for_function(_STILL, polling=100, timeout=PAGE_MS)
    lines = []
    for violation in Axe().run(page, context=part).response["violations"]:
        for node in violation["nodes"] if violation["impact"] in GRAVE else ():
            lines.append(f"{violation['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})")
    return lines
