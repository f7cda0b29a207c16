"""What circuits allow and are told, and what is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.injection import CATALOGUE, FailureType, Intensity
from pytest_resilience.core.injection_gate import InjectionStats, allowed, permitted, records

MILD, MODERATE, SEVERE = Intensity
kinds, levels = st.sampled_from(FailureType), st.sampled_from(Intensity)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("closed", [MILD, MODERATE, SEVERE]),
        ("half-open", [MILD, MODERATE]),
        ("open", []),
        ("isolated", []),
    ],
)
def test_a_circuit_allows_less_the_worse_it_is(state: str, expected: list[Intensity]) -> None:
    assert [i for i in Intensity if allowed(i, state)] == expected
    assert [i for i in Intensity if allowed(i, CircuitState(state))] == expected
    assert {fault.intensity for fault in permitted(CATALOGUE, state)} == set(expected)


def test_severe_failures_can_be_excluded() -> None:
    told = {fault.intensity for fault in permitted(CATALOGUE, "closed", exclude_severe=True)}
    assert told == {MILD, MODERATE}


def test_a_state_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="ajar"):
        allowed(MILD, "ajar")


@given(levels, st.sampled_from(CircuitState))
def test_what_is_allowed_is_allowed_in_a_milder_form(
    intensity: Intensity, state: CircuitState
) -> None:
    if allowed(intensity, state):
        assert all(allowed(milder, state) for milder in Intensity if milder <= intensity)


@given(kinds, levels)
def test_only_severe_failures_and_crashes_count_by_themselves(
    kind: FailureType, intensity: Intensity
) -> None:
    counts, reason = records(kind, intensity)
    assert counts == (intensity is SEVERE or kind is FailureType.CRASH)
    assert reason


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ((), False),
        ((FailureType.HANG,), True),
        (("hang",), True),
        ((MODERATE,), True),
        ((MILD, FailureType.GPU_ERROR), False),
    ],
    ids=str,
)
def test_others_count_if_configured(configured: tuple[FailureType, ...], expected: bool) -> None:
    assert records(FailureType.HANG, MODERATE, configured)[0] is expected


def test_everything_counts_while_half_open_or_in_a_row() -> None:
    assert records(FailureType.HANG, MILD, circuit_state="half-open") == (
        True,
        "every failure counts while the circuit is half-open",
    )
    assert records(FailureType.HANG, MILD, repeated=True) == (
        True,
        "the failure before was a hang, too",
    )


def test_the_reason_says_what_would_make_it_count() -> None:
    assert records(FailureType.TIMEOUT, MODERATE) == (
        False,
        "a single moderate timeout does not count unless configured",
    )


def test_statistics_are_empty_at_first() -> None:
    assert InjectionStats().to_dict() == {
        "attempts": 0,
        "successes": 0,
        "refused": 0,
        "by_type": {},
        "by_intensity": {},
    }


def test_statistics_count_by_type_and_intensity_and_repeat_the_circuit() -> None:
    stats = InjectionStats()
    stats.add(FailureType.CRASH, SEVERE, success=True)
    stats.add(FailureType.CRASH, MILD, success=False)
    stats.add(FailureType.HANG, MILD, success=True)
    stats.refuse()
    circuit = {
        "state": "closed",
        "failure_count": 2,
        "threshold": 5,
        "threshold_percent": 40.0,
        "generation": 7,
    }
    assert stats.to_dict(circuit) == {
        "attempts": 3,
        "successes": 2,
        "refused": 1,
        "by_type": {
            "crash": {"attempts": 2, "successes": 1},
            "hang": {"attempts": 1, "successes": 1},
        },
        "by_intensity": {
            "mild": {"attempts": 2, "successes": 1},
            "severe": {"attempts": 1, "successes": 1},
        },
        "circuit_breaker": {
            "state": "closed",
            "failure_count": 2,
            "threshold": 5,
            "threshold_percent": 40.0,
        },
    }


@given(st.lists(st.tuples(kinds, levels, st.booleans())))
def test_the_parts_add_up(tries: list[tuple[FailureType, Intensity, bool]]) -> None:
    stats = InjectionStats()
    for kind, intensity, success in tries:
        stats.add(kind, intensity, success=success)
    told = stats.to_dict()
    assert told["attempts"] == len(tries)
    for part in ("by_type", "by_intensity"):
        for count in ("attempts", "successes"):
            assert sum(row[count] for row in told[part].values()) == told[count]
