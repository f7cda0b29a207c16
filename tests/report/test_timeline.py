"""Time as bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.circuits import circuits
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.timeline import LANES, SLOTS, WIDTH, bar, kind, lanes, states

STATES = st.sampled_from([*CircuitState, "from the future"])


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


def test_blocked_tests_are_seen_on_their_worker(blocked: Callable[..., TestResult]) -> None:
    """When tests were turned away is in the picture, other than what ran and failed."""
    passed = Attempt(started_us=1, duration_s=5.0, worker="gw0")
    tests = [TestResult("t", "passed", attempts=[passed]), blocked("b")]
    tests[1].attempts[0].started_us = 6_000_000
    (lane,) = lanes(Summary(SessionInfo(), tests))
    assert [span.kind for span in lane.spans] == ["passed", "blocked"]


def drawn(told: dict[str, Any], span_s: float = 10.0) -> list[tuple[str, float, float]]:
    (read,) = circuits(Summary(SessionInfo(), circuits=[told]))
    return [(span.kind, span.x, span.width) for span in states(read, span_s)]


def test_states_are_to_scale(circuit: Callable[..., Any], transition: Callable[..., Any]) -> None:
    """States follow each other where they changed, from the start to the end."""
    moves = [
        transition(2.0, "closed", "open"),
        transition(6.0, "open", "half-open"),
        transition(7.0, "half-open", "closed"),
    ]
    unit = WIDTH / SLOTS
    assert drawn(circuit(transitions=moves)) == [
        ("closed", 0.0, 200.0),
        ("open", 200.0, 400.0 + unit),
        ("half-open", 600.0 + unit, 100.0),
        ("closed", 700.0 + unit, 300.0 - unit),
    ]


def test_titles_of_states_tell_the_exact_times(
    circuit: Callable[..., Any], transition: Callable[..., Any]
) -> None:
    """The picture is coarse, its titles are not."""
    moves = [transition(2.0011, "closed", "open"), transition(3.4567, "open", "closed")]
    (read,) = circuits(Summary(SessionInfo(), circuits=[circuit(transitions=moves)]))
    titles = [span.title for span in states(read, 1000.0)]
    assert titles == [
        "closed, 0 s to 2.0 s",
        "open, 2.0 s to 3.5 s",
        "closed, 3.5 s to 16 min 40 s",
    ]


def test_short_outage_is_seen(circuit: Callable[..., Any], transition: Callable[..., Any]) -> None:
    """One opening of a millisecond in an hour is in the picture, and so is one at the end."""
    moves = [
        transition(1800.0, "closed", "open"),
        transition(1800.001, "open", "closed"),
        transition(3600.0, "closed", "open"),
    ]
    kinds = [kind for kind, _, _ in drawn(circuit(transitions=moves), 3600.0)]
    assert kinds == ["closed", "open", "closed", "open"]


def test_without_changes_a_circuit_is_as_it_ended(circuit: Callable[..., Any]) -> None:
    """A circuit that was isolated from the start is so all the time."""
    assert drawn(circuit(state="isolated")) == [("isolated", 0.0, float(WIDTH))]


def test_no_states_without_time(circuit: Callable[..., Any]) -> None:
    """Where nothing is known of times there is nothing to draw."""
    assert drawn(circuit(), span_s=0.0) == []


@given(
    st.lists(st.tuples(st.floats(0, 100), STATES, STATES), max_size=20), st.floats(0, 100), STATES
)
def test_states_fill_the_picture_and_no_more(
    changes: list[tuple[float, str, str]], more_s: float, state: str
) -> None:
    """Spans are in order, without gaps, from edge to edge, and bounded in number."""
    moves = [{"at_s": at, "from_state": was, "to_state": now} for at, was, now in changes]
    told = {"name": "c", "state": state, "transitions": moves}
    (read,) = circuits(Summary(SessionInfo(), circuits=[told]))
    span_s = max((at for at, _, _ in changes), default=0.0) + more_s
    spans = states(read, span_s)
    assert bool(spans) == (span_s > 0)
    assert len(spans) <= min(SLOTS, len(changes) + 1)
    edge = 0.0
    for span in spans:
        assert span.x == pytest.approx(edge, abs=0.11)
        edge = span.x + span.width
    if spans:
        assert edge == pytest.approx(WIDTH, abs=0.11)
    if read.moves and span_s > 0 and any(move.to_state == "isolated" for move in read.moves):
        assert any(span.kind == "isolated" for span in spans)
