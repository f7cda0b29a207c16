"""What holds for a circuit whatever happens to it, in whatever order, in several processes.

The properties P1 to P11 are those of `circuit_machine`; each of them fails where there is a bug.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import CircuitRecord
from tests.core.circuit_machine import run_machine
from tests.core.circuit_model import CLOSED, FAILURE, HALF_OPEN, IGNORED, ISOLATED, OPEN, SUCCESS


def test_whatever_happens_in_three_processes_the_properties_hold() -> None:
    """P1 to P11."""
    run_machine(examples=80, steps=30)


# The mutants: a bug each, that a circuit breaker of the field has or had.


def _no_generation(record: CircuitRecord, _generation: int | None, _number: int) -> bool:
    return record.state in (CLOSED, HALF_OPEN)


def _unlimited(record: CircuitRecord, _config: CircuitConfig) -> bool:
    return record.state is HALF_OPEN


def _no_lease(_record: CircuitRecord, _config: CircuitConfig, _now: float) -> float | None:
    return None


def _ignored_succeeds(*args: Any, **what: Any) -> Any:
    if what["outcome"] is IGNORED:
        what["outcome"] = SUCCESS
    return REPORT(*args, **what)


def _ignored_keeps_permit(record: CircuitRecord, *args: Any, **what: Any) -> Any:
    after, answer, moves = REPORT(record, *args, **what)
    if what["outcome"] is IGNORED and not moves:
        after = after._replace(leases=record.leases)
    return after, answer, moves


def _no_back_off(config: CircuitConfig, _reopenings: int, chance: Any) -> float:
    return OPEN_INTERVAL(config, 0, chance)


def _no_cap(config: CircuitConfig, reopenings: int, _chance: Any) -> float:
    return config.half_open_after * config.growth**reopenings


def _no_minimum(record: CircuitRecord, config: CircuitConfig, now: float) -> str:
    return WHY_OPEN(record, dataclasses.replace(config, minimum_calls=1), now)


def _one_success_closes(_record: CircuitRecord, _config: CircuitConfig) -> bool:
    return True


def _stale_failure_extends(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: Any, **what: Any
) -> Any:
    after, counts, moves = REPORT(record, config, now, chance, **what)
    if not counts and what["outcome"] is FAILURE and after.state is OPEN:
        after = after._replace(open_until=now + config.recovery_timeout)
    return after, counts, moves


def _stale_success_closes(
    record: CircuitRecord, config: CircuitConfig, now: float, chance: Any, **what: Any
) -> Any:
    after, counts, moves = REPORT(record, config, now, chance, **what)
    if not counts and what["outcome"] is SUCCESS and after.state is OPEN:
        after = after._replace(state=CLOSED)
    return after, counts, moves


def _isolated_leaks(record: CircuitRecord, config: CircuitConfig, now: float, chance: Any) -> Any:
    if record.state is ISOLATED and now - record.changed_at >= config.recovery_timeout:
        record = record._replace(state=OPEN, open_until=now)
    return SETTLE(record, config, now, chance)


REPORT, OPEN_INTERVAL = rules.report, rules.open_interval
WHY_OPEN, SETTLE = rules.why_open, rules.settle

MUTANTS = [
    pytest.param("is_current", _no_generation, "P4", id="no-generation-token"),
    pytest.param("may_try", _unlimited, "P2", id="unlimited-half-open"),
    pytest.param("overdue_since", _no_lease, "P3", id="no-lease"),
    pytest.param("report", _ignored_succeeds, "P5", id="ignored-is-success"),
    pytest.param("report", _ignored_keeps_permit, "P5", id="ignored-keeps-its-permit"),
    pytest.param("open_interval", _no_back_off, "P8", id="no-back-off"),
    pytest.param("open_interval", _no_cap, "P8", id="no-cap"),
    pytest.param("why_open", _no_minimum, "P7", id="no-minimum-of-calls"),
    pytest.param("is_proven", _one_success_closes, "P6", id="one-success-closes"),
    pytest.param("report", _stale_failure_extends, "P4", id="stale-failure-extends"),
    pytest.param("report", _stale_success_closes, "P4", id="stale-success-closes"),
    pytest.param("settle", _isolated_leaks, "P9", id="isolated-leaks"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "mutant", "broken"), MUTANTS)
def test_a_circuit_with_the_bug_breaks_a_property(
    name: str, mutant: Callable[..., Any], broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of twelve bugs of other circuit breakers is found by the properties above."""
    monkeypatch.setattr(rules, name, mutant)
    with pytest.raises(AssertionError) as found:
        run_machine(
            examples=200,
            steps=30,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            print_blob=False,
        )
    assert str(found.value).partition(":")[0] == broken
