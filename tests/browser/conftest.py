"""A real explorer in a workspace of its own, and any Chrome or Chromium that is installed."""

import pytest

from tests.browser.serving import QUIET, installed_browser, running_explorer


@pytest.fixture
def explorer(tmp_path, workspace):
    """The address of a running explorer; its log must stay free of errors and deprecations."""
    with running_explorer(tmp_path) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests; each opens contexts of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=installed_browser(), args=QUIET)
        yield started
        started.close()
