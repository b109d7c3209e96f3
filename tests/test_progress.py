"""How far work is, and how long it will take."""

import pytest

from sftqa_core import progress
from sftqa_core.progress import MODEL, Phase, Recorder, uncounted


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def left_after(clock, *reports, total=1000, done=0) -> list[float | None]:
    """The time left that each report gives; a report is the seconds before it, and the pieces."""
    recorder = Recorder()
    phase = Phase(recorder, "answers", total, "facts", done=done)
    for seconds, pieces in reports:
        clock[0] += seconds
        phase.tell(pieces)
    return [update.left_s for update in recorder.updates]


def test_no_time_left_is_told_from_the_first_pieces(clock):
    """They pay for the start: 3 of 1,000 in 20 s would forecast two hours. From a twentieth of the work on it is told."""
    assert left_after(clock, (20.0, 3), (5.0, 47)) == [None, pytest.approx(950 * 25 / 50)]


def test_a_long_work_tells_it_after_a_minute(clock):
    """However little of it is done."""
    first, second = left_after(clock, (30.0, 1), (30.0, 1), total=100_000)
    assert (first, second) == (None, pytest.approx(99_998 * 30))


def test_the_time_left_follows_the_latest_half(clock):
    """Pieces that came ten times as slowly at the start no longer count."""
    *_, last = left_after(clock, *[(10.0, 10)] * 3, *[(1.0, 10)] * 60)
    assert last == pytest.approx((1000 - 630) / 10, rel=0.1)


def test_work_that_goes_on_forecasts_from_what_it_did_itself(clock):
    """What was done before a stop cost no time now."""
    assert left_after(clock, (60.0, 10), total=1000, done=900) == [pytest.approx(90 * 6.0)]


def test_work_that_was_resumed_after_it_was_set_up_forecasts_so_too(clock):
    """A trainer knows only at its first step how many were done before."""
    recorder = Recorder()
    phase = Phase(recorder, "train", 1000, "steps")
    phase.resume(900)
    clock[0] += 60.0
    phase.tell(6)
    assert recorder.updates[-1].left_s == pytest.approx(94 * 10.0)


def test_at_the_end_nothing_is_left(clock):
    """The last report says 0."""
    assert left_after(clock, (5.0, 500), (5.0, 500))[-1] == 0


def test_what_cannot_be_counted_has_no_total():
    """Loading a model, say."""
    recorder = Recorder()
    uncounted(recorder, MODEL)
    (update,) = recorder.updates
    assert (update.phase, update.done, update.total, update.left_s) == ("loading the model", 0, 0, None)
