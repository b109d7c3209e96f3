"""A real explorer in a workspace of its own; tests that change nothing share `shipped` (explorers.py)."""

import pytest

from tests.browser.serving import running_explorer


@pytest.fixture
def explorer(tmp_path, workspace):
    """The address of a running explorer; its log must stay free of errors and deprecations."""
    with running_explorer(tmp_path) as address:
        yield address


@pytest.fixture(autouse=True)
def closed(request):
    """What a test opened in the shared browser is closed after it."""
    yield
    if "browser" in request.fixturenames:
        for context in request.getfixturevalue("browser").contexts:
            context.close()
