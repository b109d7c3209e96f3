"""Measured rates are kept by model and device."""

import pytest

from sftqa_core.memory.speeds import measured, remember
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.workspace import Workspace

MODEL = ModelFingerprint("w" * 16, None, "float32", "cpu")


@pytest.mark.parametrize("text", ["[]", "7", "{", "null", '{"%s@cpu": [1]}' % ("w" * 16)])
def test_damaged_rates_count_as_none(workspace: Workspace, text: str):
    """A file that holds something else tells nothing, and is replaced when the next rate is measured."""
    workspace.state.mkdir(parents=True, exist_ok=True)
    (workspace.state / "speeds.json").write_text(text)
    assert measured(MODEL) == {}
    remember(MODEL, probe=(125, 10.0), train=(60, 0.0))
    assert measured(MODEL) == {"probe": 12.5}


def test_little_work_is_not_remembered(workspace: Workspace):
    """A rate from a handful of pieces neither counts nor replaces a better one."""
    remember(MODEL, answer=(10, 0.2))
    assert measured(MODEL) == {}
    remember(MODEL, answer=(3_000, 3.0))
    remember(MODEL, answer=(10, 1.0))
    assert measured(MODEL) == {"answer": 1_000.0}
