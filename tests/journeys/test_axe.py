"""No page has a serious or critical finding of axe, light or dark, wide or narrow."""

from typing import Any

import pytest

from tests.browser.serving import settled
from tests.journeys.conftest import PAGES

pytestmark = pytest.mark.journey
GRAVE = ("serious", "critical")
# What Streamlit draws itself and no setting, theme or style of ours reaches: (rule, part of the element's HTML) -> why it stays.
STREAMLITS_OWN: dict[tuple[str, str], str] = {}
LOOKS = [(dark, narrow) for dark in (False, True) for narrow in (False, True)]
_met: set[tuple[str, str]] = set()
_seen: set[tuple[str, bool, bool]] = set()


def findings(page: Any) -> list[str]:
    """Grave findings that are not on the list, a line each."""
    from axe_playwright_python.sync_playwright import Axe

    lines = []
    for violation in Axe().run(page).response["violations"]:
        for node in violation["nodes"] if violation["impact"] in GRAVE else ():
            known = [entry for entry in STREAMLITS_OWN if entry[0] == violation["id"] and entry[1] in node["html"]]
            _met.update(known)
            if not known:
                lines.append(f"{violation['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})")
    return lines


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_grave_finding(shipped, visit, path):
    """In every look; what is folded away is unfolded first."""
    grave = []
    for dark, narrow in LOOKS:
        page = visit(f"{shipped}/{path}", narrow=narrow, dark=dark)
        folded = page.locator("[data-testid=stExpander] details:not([open]) > summary")
        for _ in range(min(folded.count(), 4)):
            folded.first.click()  # which is then no longer among them
        settled(page)
        grave += [f"{'dark' if dark else 'light'}, {'420' if narrow else '1440'}: {line}" for line in findings(page)]
        _seen.add((path, dark, narrow))
        page.context.close()
    assert grave == []


def test_a_planted_fault_is_found(shipped, visit):
    """Grey words on grey: a check that finds nothing here would find nothing anywhere."""
    page = visit(f"{shipped}/jobs")
    page.evaluate("document.querySelector('h1').style.cssText = 'color:#999 !important;background:#888'")
    assert any(line.startswith("color-contrast") for line in findings(page))


def test_every_exception_is_still_needed():
    """One that no page needs any more is taken off the list."""
    if len(_seen) < len(PAGES) * len(LOOKS):
        pytest.skip("only told after all pages were looked at")
    assert STREAMLITS_OWN.keys() - _met == set()
