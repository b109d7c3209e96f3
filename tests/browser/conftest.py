"""A real explorer in a workspace of its own."""

import pytest

from tests.browser.serving import running_explorer


@pytest.fixture
def explorer(tmp_path, workspace):
    """The address of a running explorer; its log must stay free of errors and deprecations."""
    with running_explorer(tmp_path) as address:
        yield address
