"""One's own facts from a file to a comparison, as a person clicks it: every step a real job, the longest some minutes."""

import re

import pandas as pd
import pytest

from tests.browser.serving import RUN_MS, settled, sound

pytestmark = pytest.mark.journey
PLACES = ("Arvo", "Belm", "Corse", "Dunt", "Elva", "Fars", "Gond", "Hest")
STEPS = (  # button -> what the page says when its work is over
    ("Pre-train this model", re.compile(r"is made: [\d,]+ parameters")),
    ("Probe the test facts", re.compile("Memory level by how often the text states a fact")),
    ("Tune on 60", re.compile("Squares: before; circles: after")),
    ("Tune the second run", re.compile("Both in Compare")),
)


def test_from_a_file_to_a_comparison(started, visit, tmp_path):
    """Upload, pre-train, probe, tune, compare: each step opens when the one before is done, and a reload in between loses nothing."""
    from playwright.sync_api import expect

    rows = [
        (relation, f"{relation.lower()} {at}", PLACES[(at * at + len(relation)) % 8])
        for relation in ("P17", "P19", "P36")
        for at in range(200)
    ]
    pd.DataFrame(rows, columns=["relation", "subject", "object"]).to_csv(tmp_path / "places.csv", index=False)
    with started("own-story") as address:
        page = visit(f"{address}/own-facts")
        page.get_by_role("button", name="Add your own facts").click()
        box = page.get_by_role("dialog")
        box.locator("input[type=file]").set_input_files(tmp_path / "places.csv")
        box.get_by_role("button", name="Use these facts").click()
        expect(page.get_by_text(re.compile("600 facts of 3 relations")).first).to_be_visible()
        for done, (button, said) in enumerate(STEPS, start=1):
            settled(page)
            assert _done(page) == done
            page.get_by_role("button", name=button, exact=True).click()
            started_or_over = page.get_by_role("button", name="Cancel").or_(page.get_by_text(said))
            expect(started_or_over.first).to_be_visible(timeout=RUN_MS)
            page.reload()
            expect(page.get_by_text(said).first).to_be_visible(timeout=3 * RUN_MS)
        settled(page)
        assert _done(page) == 5
        page.get_by_text("Both in Compare").click()
        expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
        settled(page)
        sound(page)


def _done(page) -> int:
    """Steps whose tile says that they are done."""
    return page.locator("[class*=st-key-own-tile]").filter(has_text="done").count()
