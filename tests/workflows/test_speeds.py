"""Measured rates are kept by model and device."""

import pytest

from sftqa_core.memory.speeds import measured, remember
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.planning import forecast as forecasting
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


def test_a_study_of_several_models_says_once_where_its_times_come_from():
    """Never that all were measured and that all are rough."""
    measured, rough, unknown = (forecasting._MEASURED, forecasting._ROUGH, "The model's size is unknown.")
    assert forecasting._of_several([measured, measured, forecasting._NOTHING]) == (measured,)
    assert forecasting._of_several([forecasting._NOTHING] * 2) == ("Nothing left to compute.",)
    told = "Based on measured speed for 1 of 3 models, on a rough estimate from their size for the others."
    assert forecasting._of_several([rough, measured, rough, unknown]) == (told, unknown)
