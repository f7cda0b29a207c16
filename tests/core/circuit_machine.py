"""Lets things happen to three breakers over one cell, and compares them with a model.

Each check carries the name of its property:

P1 open: no permit before its time. P2 half-open: no more trials at once than allowed.
P3 a free trial can always be had. P4 what is of another generation changes nothing.
P5 what is ignored changes nothing but frees its permit. P6 half-open closes after so many
successes and opens at the first failure. P7 closed opens exactly when its calls say so.
P8 the interval grows, within its bounds, and shrinks only by healthy time. P9 isolated stays so.
P10 each transition is told once, in order. P11 every report is counted exactly once.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, settings
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
from pytest_resilience.core.circuit_record import CircuitRecord, Transition
from tests.core.circuit_model import (
    CLOSED,
    FAILURE,
    HALF_OPEN,
    IGNORED,
    ISOLATED,
    LEGAL,
    OPEN,
    PROCESSES,
    SUCCESS,
    Model,
    configs,
    outcomes,
    processes,
)
from tests.doubles import FakeClock


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
