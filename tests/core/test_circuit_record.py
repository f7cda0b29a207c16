"""The record of a circuit is small, plain, and comes back from JSON as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit_config import MOST_PROBES
from pytest_resilience.core.circuit_record import (
    REASON_LIMIT,
    Bucket,
    CircuitRecord,
    CircuitState,
    Lease,
    Transition,
    clipped,
)

# Three years since the machine was started; a thousand calls a second; a call an hour long.
seconds = st.floats(0, 1e8)
numbers = st.integers(0, 10**9)
buckets = st.builds(
    Bucket,
    slot=st.integers(0, 10**9),
    successes=st.integers(0, 9999),
    failures=st.integers(0, 9999),
    timed=st.integers(1, 9999),
    milliseconds=st.integers(0, 3_600_000),
)
records = st.builds(
    CircuitRecord,
    state=st.sampled_from(CircuitState),
    generation=numbers,
    reopenings=st.integers(0, 30),
    opened_at=seconds,
    closed_at=st.none() | seconds,
    probe_after=seconds,
    open_until=seconds,
    leases=st.lists(
        st.builds(Lease, number=st.integers(1, 9999), granted_at=st.integers(0, 10**8)),
        max_size=MOST_PROBES,
    ).map(tuple),
    last_permit=numbers,
    window=st.lists(buckets, max_size=10).map(tuple),
    consecutive_failures=numbers,
    consecutive_successes=numbers,
    successes=numbers,
    failures=numbers,
    ignored=numbers,
    refused=numbers,
    stale=numbers,
    last_reason=st.text(max_size=300).map(clipped),
    changed_at=seconds,
)

FULL = CircuitRecord(
    state=CircuitState.HALF_OPEN,
    generation=2,
    reopenings=3,
    opened_at=10.5,
    closed_at=4.5,
    probe_after=11.5,
    open_until=70.5,
    leases=(Lease(4, 71.0), Lease(5, 72.0)),
    last_permit=5,
    window=(Bucket(700, 1, 2), Bucket(710, 3, 0, 2, 1500)),
    consecutive_failures=6,
    consecutive_successes=7,
    successes=8,
    failures=9,
    ignored=10,
    refused=11,
    stale=12,
    last_reason="grid is down",
    changed_at=72.5,
)
PLAIN = {
    "state": "half-open",
    "generation": 2,
    "reopenings": 3,
    "times": [10.5, 4.5, 11.5, 70.5, 72.5],
    "leases": [[4, 71.0], [5, 72.0]],
    "last_permit": 5,
    "window": [[700, 1, 2], [710, 3, 0, 2, 1500]],
    "row": [6, 7],
    "totals": [8, 9, 10, 11, 12],
    "reason": "grid is down",
}


class TestState:
    """A state is equal to its text."""

    @pytest.mark.parametrize("text", ["closed", "open", "half-open", "isolated"])
    def test_it_reads_as_and_equals_its_text(self, text: str) -> None:
        state = CircuitState(text)
        assert state == text
        assert f"{state} {state!s}" == f"{text} {text}"
        assert json.dumps(state) == f'"{text}"'


class TestRecord:
    """What is written is what is read."""

    def test_a_new_one_is_closed_and_empty(self) -> None:
        record = CircuitRecord()
        assert record.state is CircuitState.CLOSED
        assert not any(record[1:])

    def test_its_plain_form_has_these_keys(self) -> None:
        assert FULL.to_dict() == PLAIN

    def test_its_plain_form_is_read_back(self) -> None:
        assert CircuitRecord.from_dict(PLAIN) == FULL

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param({"state": "ajar"}, id="state"),
            pytest.param({"times": [1.0]}, id="times"),
            pytest.param({"leases": 3}, id="leases"),
        ],
    )
    def test_what_is_none_is_not_read(self, damage: dict[str, Any]) -> None:
        with pytest.raises((KeyError, TypeError, ValueError)):
            CircuitRecord.from_dict({**PLAIN, **damage})

    def test_a_shift_moves_all_times_and_forgets_the_window(self) -> None:
        shifted = FULL.shifted(-4.0)
        assert shifted == FULL._replace(
            opened_at=6.5,
            closed_at=0.5,
            probe_after=7.5,
            open_until=66.5,
            leases=(Lease(4, 67.0), Lease(5, 68.0)),
            window=(),
            changed_at=68.5,
        )

    def test_a_shift_leaves_it_open_whether_it_ever_closed(self) -> None:
        assert CircuitRecord().shifted(5.0).closed_at is None


class TestTransition:
    """A transition is plain, and comes back."""

    MOVE = Transition(
        circuit="chrome",
        kind="browser",
        generation=3,
        from_state=CircuitState.OPEN,
        to_state=CircuitState.HALF_OPEN,
        reason="60 s have passed",
        at=12.5,
        consecutive_failures=5,
        failures=6,
        calls=7,
        rate=0.5,
        reopenings=1,
    )
    PLAIN = {  # noqa: RUF012
        "circuit": "chrome",
        "kind": "browser",
        "generation": 3,
        "from_state": "open",
        "to_state": "half-open",
        "reason": "60 s have passed",
        "at": 12.5,
        "consecutive_failures": 5,
        "failures": 6,
        "calls": 7,
        "rate": 0.5,
        "reopenings": 1,
    }

    def test_its_plain_form_has_these_keys(self) -> None:
        plain = self.MOVE.to_dict()
        assert plain == self.PLAIN
        assert [type(plain[name]) for name in ("from_state", "to_state")] == [str, str]

    def test_it_is_read_back_also_with_what_is_not_known(self) -> None:
        again = Transition.from_dict({**self.PLAIN, "worker": "gw0"})
        assert again == self.MOVE
        assert again.from_state is CircuitState.OPEN
        assert again.to_state is CircuitState.HALF_OPEN

    def test_figures_may_be_missing(self) -> None:
        names = ("circuit", "kind", "generation", "from_state", "to_state", "reason", "at")
        assert Transition.from_dict({name: self.PLAIN[name] for name in names}).calls == 0

    def test_without_states_it_is_none(self) -> None:
        with pytest.raises(ValueError, match="CircuitState"):
            Transition.from_dict({"circuit": "x"})


class TestClipped:
    """A reason takes no more room than it may."""

    @pytest.mark.parametrize(
        ("reason", "text"),
        [
            pytest.param(" grid\n is  down ", "grid is down", id="spaces"),
            pytest.param("x" * 120, "x" * 120, id="fits"),
            pytest.param("x" * 121, "x" * 120, id="ascii"),
            pytest.param("x" * 119 + '"', "x" * 119, id="a-quote-takes-two"),
            pytest.param("é" * 30, "é" * 20, id="six-bytes"),
            pytest.param("é" * 20, "é" * 20, id="six-bytes-fit"),
            pytest.param("x" * 60 + "é" * 11, "x" * 60 + "é" * 10, id="one-less"),
            pytest.param("x" * 61 + "é" * 11, "x" * 61 + "é" * 9, id="two-less"),
        ],
    )
    def test_it_is_cut_where_it_must_be(self, reason: str, text: str) -> None:
        assert clipped(reason) == text


@given(record=records)
def test_a_record_comes_back_from_json_as_it_was(record: CircuitRecord) -> None:
    again = CircuitRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert again == record
    assert isinstance(again.state, CircuitState)
    assert all(isinstance(bucket, Bucket) for bucket in again.window)
    assert all(isinstance(lease, Lease) for lease in again.leases)


@given(record=records)
def test_as_json_a_record_stays_below_a_kilobyte(record: CircuitRecord) -> None:
    assert len(json.dumps(record.to_dict(), separators=(",", ":"))) < 1024


@given(reason=st.text(st.characters(), max_size=400))
def test_a_clipped_reason_fits_on_one_line_and_is_a_beginning(reason: str) -> None:
    text = clipped(reason)
    assert len(json.dumps(text)) <= REASON_LIMIT + 2
    assert " ".join(reason.split()).startswith(text)
    assert "\n" not in text
