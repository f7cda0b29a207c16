"""What holds for a circuit whatever happens to it, in whatever order, in several processes.

A machine lets things happen to three breakers over one cell, and a model says what has to come
of it. Each check carries the name of its property:

P1 open: no permit before its time. P2 half-open: no more trials at once than allowed.
P3 a free trial can always be had. P4 what is of another generation changes nothing.
P5 what is ignored changes nothing but frees its permit. P6 half-open closes after so many
successes and opens at the first failure. P7 closed opens exactly when its calls say so.
P8 the interval grows, within its bounds, and shrinks only by healthy time. P9 isolated stays so.
P10 each transition is told once, in order. P11 every report is counted exactly once.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pytest_resilience.core import circuit_rules as rules
from pytest_resilience.core.circuit import CircuitBreaker, MemoryCell, Outcome, Permit
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_record import CircuitRecord, CircuitState, Transition
from tests.doubles import FakeClock

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
HALF_OPEN, ISOLATED = CircuitState.HALF_OPEN, CircuitState.ISOLATED
FAILURE, SUCCESS, IGNORED = Outcome.FAILURE, Outcome.SUCCESS, Outcome.IGNORED

PROCESSES = 3
LEGAL = {
    (CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, OPEN), (HALF_OPEN, CLOSED),
    (CLOSED, ISOLATED), (OPEN, ISOLATED), (HALF_OPEN, ISOLATED),
    (ISOLATED, CLOSED), (OPEN, CLOSED),
}  # fmt: skip

# Everything is a multiple of a quarter second, so that sums are exact; and the longest interval
# is short, so that it is reached.
configs = st.builds(
    CircuitConfig,
    failure_threshold=st.integers(1, 4),
    recovery_timeout=st.just(12.0),
    half_open_after=st.sampled_from([0.0, 2.0, 4.0, 12.0]),
    success_threshold=st.integers(1, 3),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    minimum_calls=st.integers(2, 5),
    window_s=st.just(10.0),
    probes=st.integers(1, 2),
    lease_s=st.sampled_from([3.0, 20.0]),
)
processes = st.integers(0, PROCESSES - 1)
outcomes = st.sampled_from(Outcome)


@dataclass
class Model:
    """What has to become of a circuit, kept as a diary of what happened to it."""

    config: CircuitConfig
    state: CircuitState = CLOSED
    generation: int = 0
    reopenings: int = 0
    opened_at: float = 0.0
    closed_at: float | None = None
    trials: dict[int, float] = field(default_factory=dict)
    diary: list[tuple[float, Outcome]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def elapse(self, now: float) -> None:
        """Let time pass."""
        hung = [at for at in self.trials.values() if now - at >= self.config.lease_s]
        if hung:
            self.counts["failures"] += 1
            self.open(now, since=min(hung))
        if self.state is OPEN and now - self.opened_at >= self.config.recovery_timeout:
            self.move(HALF_OPEN)

    def move(self, state: CircuitState) -> None:
        self.state = state
        self.generation += 1
        self.trials, self.diary = {}, []

    def open(self, now: float, since: float | None = None) -> None:
        if self.state is HALF_OPEN:
            self.reopenings = min(self.reopenings + 1, self.most)
        elif self.closed_at is not None:
            healthy = (now - self.closed_at) // self.config.recovery_timeout
            self.reopenings = max(0, min(self.reopenings + 1, self.most) - int(healthy))
        self.opened_at = now if since is None else since
        self.move(OPEN)

    def close(self, now: float) -> None:
        self.move(CLOSED)
        self.closed_at = now

    def count(self, now: float, outcome: Outcome) -> None:
        """Take in a failure or success of this generation."""
        self.diary.append((now, outcome))
        self.counts["failures" if outcome is FAILURE else "successes"] += 1
        if outcome is FAILURE and (self.state is HALF_OPEN or self.is_too_much(now)):
            self.open(now)
        elif self.state is HALF_OPEN and self.row(SUCCESS) == self.config.success_threshold:
            self.close(now)

    def is_too_much(self, now: float) -> bool:
        failures, calls = self.recent(now)
        return self.row(FAILURE) >= self.config.failure_threshold or (
            calls >= self.config.minimum_calls and failures / calls >= self.config.failure_rate
        )

    def recent(self, now: float) -> tuple[int, int]:
        """Return failures and calls of the window: its tenths are seconds here."""
        calls = [outcome for at, outcome in self.diary if int(at) > int(now) - 10]
        return calls.count(FAILURE), len(calls)

    def row(self, outcome: Outcome) -> int:
        newest = (entry for _, entry in reversed(self.diary))
        return sum(1 for _ in itertools.takewhile(lambda entry: entry is outcome, newest))

    @property
    def interval(self) -> float:
        """The least time before a health probe counts."""
        return min(
            self.config.recovery_timeout,
            self.config.half_open_after * self.config.growth**self.reopenings,
        )

    @property
    def most(self) -> int:
        """Reopenings after which the interval is as long as it gets; the least, if there is one."""
        base = self.config.half_open_after
        return {0.0: rules.MOST_REOPENINGS, 2.0: 3, 4.0: 2, 12.0: 0}[base]

    def is_awaited(self, permit: Permit) -> bool:
        if permit.generation != self.generation:
            return False
        return self.state is CLOSED or permit.number in self.trials


class Machine(RuleBasedStateMachine):
    """Three breakers over one cell, and the permits that are out."""

    @initialize(config=configs, seed=st.integers(0, 3))
    def begin(self, config: CircuitConfig, seed: int) -> None:
        self.clock = FakeClock()
        self.cell = MemoryCell()
        self.model = Model(config)
        self.told: list[list[Transition]] = [[] for _ in range(PROCESSES)]
        self.breakers = [
            CircuitBreaker(
                config,
                name="x",
                monotonic=self.clock.monotonic,
                chance=random.Random(seed),
                cell=self.cell,
            )
            for _ in range(PROCESSES)
        ]
        for breaker, told in zip(self.breakers, self.told, strict=True):
            breaker.add_listener(told.append)
        self.out: list[Permit] = []
        self.broken = False

    # What happens

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 12.0, 40.0, 31_536_000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(process=processes)
    def acquire(self, process: int) -> None:
        self.ask(process)

    def ask(self, process: int) -> Permit | None:
        """Ask for a permit, and return what was given, which is out then."""
        now = self.clock.monotonic()
        self.model.elapse(now)
        state, trials = self.model.state, len(self.model.trials)
        permit = self.breakers[process].try_acquire()
        if state is CLOSED:
            self.hold("P7", permit is not None and permit.closed, "a closed circuit refused")
        elif state is OPEN:
            self.hold("P1", permit is None, "an open circuit gave a permit")
        elif state is ISOLATED:
            self.hold("P9", permit is None, "an isolated circuit gave a permit")
        elif trials >= self.model.config.probes:
            self.hold("P2", permit is None, f"{trials + 1} trials in flight")
        else:
            self.hold("P3", permit is not None, "stuck half-open:", trials, "trials in flight")
        if permit is None:
            self.model.counts["refused"] += 1
        else:
            self.out.append(permit)
            if not permit.closed:
                self.hold("P2", permit.number not in self.model.trials, "a number was given twice")
                self.model.trials[permit.number] = now
        self.compare("P3")
        return permit

    @precondition(lambda self: self.out)
    @rule(data=st.data(), process=processes, outcome=outcomes)
    def report(self, data: st.DataObject, process: int, outcome: Outcome) -> None:
        permit = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.report_of(process, permit, outcome)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), process=processes, outcome=outcomes)
    def report_and_keep(self, data: st.DataObject, process: int, outcome: Outcome) -> None:
        """A trial that is reported twice counts once."""
        permit = data.draw(st.sampled_from(self.out))
        if not permit.closed:
            self.report_of(process, permit, outcome)

    def report_of(self, process: int, permit: Permit, outcome: Outcome) -> None:
        now = self.clock.monotonic()
        self.model.elapse(now)
        awaited = self.model.is_awaited(permit)
        before = self.state_now(process)
        counts = self.breakers[process].report(permit, outcome)
        self.hold("P4", counts is awaited, "counted" if counts else "not counted", permit)
        if not awaited:
            self.model.counts["stale"] += 1
            self.unchanged("P4", before, "stale")
        elif outcome is IGNORED:
            self.model.counts["ignored"] += 1
            self.model.trials.pop(permit.number, None)
            self.unchanged("P5", before, "ignored", "leases")
            self.hold("P5", dict(self.cell.read().leases) == self.model.trials, "not freed")
        else:
            self.model.trials.pop(permit.number, None)
            self.model.count(now, outcome)
        self.compare("P7" if permit.closed else "P6")

    @rule(process=processes, outcome=st.sampled_from([FAILURE, SUCCESS]))
    def record(self, process: int, outcome: Outcome) -> None:
        """A call without a permit."""
        now = self.clock.monotonic()
        self.model.elapse(now)
        state, breaker = self.model.state, self.breakers[process]
        before = self.state_now(process)
        counts = (breaker.record_failure if outcome is FAILURE else breaker.record_success)()
        self.hold("P4", counts is (state in (CLOSED, HALF_OPEN)), "a call without a permit")
        if counts:
            self.model.count(now, outcome)
        else:
            self.model.counts["stale"] += 1
            self.unchanged("P4", before, "stale")
        self.compare("P7" if state is CLOSED else "P6")

    @rule(process=processes)
    def trip_at_once(self, process: int) -> None:
        now = self.clock.monotonic()
        self.model.elapse(now)
        may = self.model.state in (CLOSED, HALF_OPEN)
        self.hold("P9", self.breakers[process].trip("no node") is may, "trip")
        if may:
            self.model.open(now)
        self.compare("P8")

    @rule(process=processes, ok=st.booleans())
    def probe(self, process: int, ok: bool) -> None:
        """A cheap look at its health."""
        self.model.elapse(self.clock.monotonic())
        due = self.state_now(process).probe_after <= self.clock.monotonic()
        may = ok and due and self.model.state is OPEN
        self.hold("P1", self.breakers[process].probed(ok) is may, "probed", ok)
        if may:
            self.model.move(HALF_OPEN)
        self.compare("P1")

    @rule(process=processes)
    def look(self, process: int) -> None:
        self.model.elapse(self.clock.monotonic())
        self.breakers[process].get_state()
        self.compare("P1")

    @rule(process=processes, isolating=st.booleans())
    def by_hand(self, process: int, isolating: bool) -> None:
        self.model.elapse(self.clock.monotonic())
        breaker, target = self.breakers[process], ISOLATED if isolating else CLOSED
        fresh = self.model.state is not target
        done = breaker.isolate() if isolating else breaker.reset()
        self.hold("P9", done is fresh, "by hand")
        if fresh:
            self.model.move(target)
        if not isolating:
            self.model.diary, self.model.reopenings, self.model.closed_at = [], 0, None
        self.compare("P9")

    # Ways to places that are seldom reached by chance

    @rule(process=processes)
    def trip(self, process: int) -> None:
        """As many failures in a row as it takes."""
        for _ in range(self.model.config.failure_threshold):
            permit = self.ask(process)
            if permit is None or not permit.closed:
                return
            self.out.remove(permit)
            self.report_of(process, permit, FAILURE)

    @rule(process=processes)
    def wait_open(self, process: int) -> None:
        """Until it half-opens by itself, but for a moment; and then for that."""
        self.look(process)
        if self.model.state is OPEN:
            until = self.model.opened_at + self.model.config.recovery_timeout
            self.clock.sleep(until - self.clock.monotonic() - 0.25)
            self.ask(process)
            self.clock.sleep(0.25)
            self.look(process)

    @rule(process=processes, outcome=outcomes)
    def come_late(self, process: int, outcome: Outcome) -> None:
        """A call outlives the generation of its permit."""
        permit = self.ask(process)
        self.trip(process)
        self.clock.sleep(1.0)
        if permit is not None:
            self.out.remove(permit)
            self.report_of(process, permit, outcome)

    @precondition(lambda self: self.model.state is ISOLATED)
    @rule(process=processes)
    def wait_isolated(self, process: int) -> None:
        """For as long as an open circuit would have to."""
        self.clock.sleep(self.model.config.recovery_timeout)
        self.ask(process)

    @rule(process=processes)
    def all_probes_hang(self, process: int) -> None:
        """All trials are given away, and nobody ever hears of them."""
        for _ in range(self.model.config.probes + 1):
            self.ask(process)
        if self.model.state is HALF_OPEN:
            first = min(self.model.trials.values())
            self.clock.sleep(first + self.model.config.lease_s - self.clock.monotonic() - 0.25)
            self.ask(process)
            self.clock.sleep(0.25)
            self.ask(process)

    @rule(process=processes, outcome=outcomes)
    def try_it(self, process: int, outcome: Outcome) -> None:
        """As many trials as it takes, once it is time, all with the same outcome."""
        self.wait_open(process)
        for _ in range(self.model.config.success_threshold + 1):
            permit = self.ask(process)
            if permit is None or permit.closed:
                return
            self.out.remove(permit)
            self.report_of(process, permit, outcome)

    # What has to hold

    def hold(self, property_: str, holds: bool, *told: object) -> None:
        """Fail with the name of the property that does not hold."""
        self.broken = self.broken or not holds
        assert holds, f"{property_}: {' '.join(map(str, told))}"

    def state_now(self, process: int) -> CircuitRecord:
        """Return the record after time has had its way."""
        self.breakers[process].get_state()
        return self.cell.read()

    def unchanged(self, property_: str, before: CircuitRecord, *but: str) -> None:
        after, allowed = self.cell.read(), {*but, "changed_at"}
        changed = {
            name for name, was, is_ in zip(before._fields, before, after, strict=True) if was != is_
        }
        self.hold(property_, changed <= allowed, "changed:", changed - allowed)

    def compare(self, property_: str) -> None:
        """Compare the record with the model; `property_` is what the step was about."""
        record, model, config = self.cell.read(), self.model, self.model.config
        now = self.clock.monotonic()
        self.hold(property_, record.state is model.state, record.state, "and not", model.state)
        self.hold("P10", record.generation == model.generation, "generation", record.generation)
        self.hold("P2", len(record.leases) <= config.probes, record.leases)
        self.hold("P2", dict(record.leases) == model.trials, record.leases, model.trials)
        if record.state is OPEN:
            self.compare_interval(record)
        failures, calls = model.recent(now)
        alive = [b for b in record.window if b.slot > int(now) - 10]
        found = sum(b.failures for b in alive), sum(b.failures + b.successes for b in alive)
        self.hold("P11", found == (failures, calls), "window", found, (failures, calls))
        totals = {
            name: getattr(record, name)
            for name in ("successes", "failures", "ignored", "refused", "stale")
        }
        self.hold("P11", totals == {name: model.counts[name] for name in totals}, totals)
        if record.state in (CLOSED, HALF_OPEN):
            self.hold("P11", record.consecutive_failures == model.row(FAILURE), "row of failures")
            self.hold("P11", record.consecutive_successes == model.row(SUCCESS), "row of successes")

    def compare_interval(self, record: CircuitRecord) -> None:
        model, config = self.model, self.model.config
        self.hold("P8", record.reopenings == model.reopenings, "reopenings", record.reopenings)
        self.hold("P8", record.opened_at == model.opened_at, "opened at", record.opened_at)
        interval = record.probe_after - record.opened_at
        most = min(config.recovery_timeout, model.interval * (1 + rules.JITTER))
        self.hold("P8", model.interval - 1e-6 <= interval <= most + 1e-6, "interval", interval)
        self.hold("P8", record.open_until - record.opened_at == config.recovery_timeout, "cap")

    def teardown(self) -> None:
        if not hasattr(self, "model") or self.broken:
            return
        for told in self.told:
            numbers = [move.generation for move in told]
            self.hold("P10", numbers == sorted(numbers), "told out of order", numbers)
        moves = sorted((m for told in self.told for m in told), key=lambda m: m.generation)
        numbers = [move.generation for move in moves]
        self.hold("P10", numbers == list(range(1, self.model.generation + 1)), "told", numbers)
        state = CLOSED
        for move in moves:
            self.hold("P10", move.from_state is state, move)
            self.hold("P10", (move.from_state, move.to_state) in LEGAL, move)
            state = move.to_state


def run_machine(*, examples: int, steps: int, **more: Any) -> None:
    """Let things happen, `steps` at most in each of `examples` lives."""
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


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
