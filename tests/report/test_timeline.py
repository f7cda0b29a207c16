"""Time as bars."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.timeline import LANES, SLOTS, WIDTH, bar, kind, lanes


def session(attempts: list[Attempt]) -> Summary:
    return Summary(SessionInfo(), [TestResult("t", "passed", attempts=attempts)])


def test_bar_is_to_scale(died: Callable[..., Attempt]) -> None:
    """A bar shows attempt, recovery and attempt in proportion to their seconds."""
    attempts = [died(duration_s=1.0, recovery_s=2.0), Attempt(2, duration_s=1.0)]
    spans = bar(TestResult("t", "recovered", attempts=attempts))
    assert [(span.kind, span.x, span.width) for span in spans] == [
        ("rerun", 0.0, 250.0),
        ("recovery", 250.0, 500.0),
        ("passed", 750.0, 250.0),
    ]


def test_bar_of_no_time_is_empty() -> None:
    """A test that took no time has nothing to draw, and no division by zero."""
    assert bar(TestResult("t", "skipped", attempts=[Attempt()])) == []


def test_lost_differs_from_failed(died: Callable[..., Attempt]) -> None:
    """A final failure of the infrastructure is painted otherwise than one of the product."""
    assert kind(died(outcome="failed")) == "lost"
    assert kind(died(outcome="failed", infrastructure=False)) == "failed"
    assert kind(Attempt(outcome="from-the-future")) == "skipped"


def test_short_incident_is_seen_among_many_passes(died: Callable[..., Attempt]) -> None:
    """One failure of a millisecond in an hour of passing tests is still in the picture."""
    passes = [Attempt(started_us=1 + n * 10_000_000, duration_s=10.0) for n in range(360)]
    incident = died(started_us=5_000_000, duration_s=0.001, recovery_s=0.0, worker="main")
    (lane,) = lanes(session([*passes, incident]))
    assert [span.kind for span in lane.spans] == ["rerun", "passed"]


def test_workers_are_in_natural_order() -> None:
    """Worker 10 comes after worker 2, and no more lanes are drawn than can be read."""
    attempts = [
        Attempt(started_us=n + 1, duration_s=1.0, worker=f"gw{n}") for n in reversed(range(40))
    ]
    names = [lane.worker for lane in lanes(session(attempts))]
    assert names == [f"gw{n}" for n in range(LANES)]


@pytest.mark.parametrize("started_us", [0, -5], ids=["unknown", "negative"])
def test_no_lanes_without_times(started_us: int) -> None:
    """Where starts are not recorded there is no picture."""
    assert lanes(session([Attempt(started_us=started_us, duration_s=1.0)])) == []


@given(
    st.lists(
        st.builds(
            Attempt,
            started_us=st.integers(0, 10**9),
            duration_s=st.floats(0, 1e4),
            recovery_s=st.floats(0, 1e4),
            outcome=st.sampled_from(["passed", "failed", "rerun", "skipped"]),
        )
    )
)
def test_spans_never_overlap_nor_leave_the_picture(attempts: list[Attempt]) -> None:
    """Spans are in order, apart from each other, inside the picture and bounded in number."""
    for lane in lanes(session(attempts)):
        assert len(lane.spans) <= SLOTS
        edge = 0.0
        for span in lane.spans:
            assert span.x >= edge - 1e-6
            edge = span.x + span.width
        assert edge <= WIDTH + 1e-6
