"""How far work is, and how long it will take."""

import pytest

from sftqa_core import progress
from sftqa_core.progress import MODEL, Counted, Phase, Progress, Recorder, uncounted


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


def test_work_within_pieces_counts(clock):
    """A probe's first facts take minutes: what is done of them is its share, and from a tenth of the work on the time left is told."""
    recorder = Recorder()
    phase = Phase(recorder, "probe", 4, "facts")
    for seconds, done, work in ((5.0, 0, 0.1), (90.0, 0, 0.39), (25.0, 0, 0.8), (60.0, 1, 1.0)):
        clock[0] += seconds
        phase.reach(done, work, Counted(done * 21, "prompts", 84), Counted(8, "completions"))
    assert [(update.done, update.share) for update in recorder.updates] == [(0, 0.025), (0, 0.0975), (0, 0.2), (1, 0.25)]
    early, later, *rest = [update.left_s for update in recorder.updates]
    assert (early, later) == (None, None)
    assert rest == [pytest.approx(3.2 * 115.0 / 0.7), pytest.approx(3.0 * 175.0 / 0.9)]  # by the second half of the time
    assert recorder.updates[-1].details == ", 21 of 84 prompts, 8 completions"


def test_work_of_many_hours_tells_the_time_left_after_ten_minutes(clock):
    """Though a tenth of it takes longer."""
    recorder = Recorder()
    phase = Phase(recorder, "probe", 1000, "facts")
    for _ in range(2):
        clock[0] += 300.0
        phase.within(2.0 if recorder.updates else 1.0)
    assert [update.left_s for update in recorder.updates] == [None, pytest.approx(998 * 300.0)]


def test_work_that_begins_again_never_goes_back(clock):
    """When the memory was full, prompts in progress begin again: what was told stands until more is done."""
    recorder = Recorder()
    phase = Phase(recorder, "probe", 2, "facts")
    for work in (0.5, 0.1, 0.6):
        clock[0] += 1.0
        phase.within(work)
    assert [update.portion for update in recorder.updates] == [0.25, 0.25, 0.3]


def test_a_bar_is_drawn_of_any_report():
    """Of what counts only whole pieces, too; one piece is not several."""
    assert [Progress("train", done, 8, "steps").portion for done in (0, 2, 9)] == [0.0, 0.25, 1.0]
    assert Progress("loading", 0, 0, "").portion == 0.0
    assert Progress("probe", 0, 2, "facts", within=(Counted(1, "completions"),)).details == ", 1 completion"
    told = Progress("probe", 0, 2, "facts", within=(Counted(1, "prompts", 42),), share=0.1)
    assert Progress.from_dict(told.to_dict()) == told
