"""A run of browser tests in simulated time, in which the grid is down for a while.

Invariant: time only passes where a worker waits; whatever happens at one moment happens in the
order in which the workers came to it, so that the same seed gives the same run. Circuits are
the real ones, on the clock of the simulation.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from pytest_resilience.core.circuit import (
    CircuitBreaker,
    CircuitConfig,
    CircuitState,
    MemoryCell,
    Outcome,
)

#: What a worker does: it yields the seconds it waits, and returns how it went.
Doing = Generator[float, None, bool]

#: Seconds of an attempt's recovery after the first, second ... failure of a test.
LADDER_S = (1.0, 7.0, 8.0, 20.0, 75.0)
#: Seconds between two looks of a worker that waits for a circuit.
TICK_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 30.0


class Simulation:
    """Lets workers take turns in simulated time.

    Attributes:
        now: Seconds since the beginning.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._turns: list[tuple[float, int, Iterator[float]]] = []
        self._numbers = itertools.count()

    def add(self, worker: Iterator[float]) -> None:
        """Let `worker` begin now."""
        heapq.heappush(self._turns, (self.now, next(self._numbers), worker))

    def run(self) -> None:
        """Go on until all workers are done."""
        while self._turns:
            self.now, _, worker = heapq.heappop(self._turns)
            seconds = next(worker, None)
            if seconds is not None:
                turn = (self.now + seconds, next(self._numbers), worker)
                heapq.heappush(self._turns, turn)


@dataclass(frozen=True)
class Plan:
    """What is to be run, and what becomes of the grid.

    Attributes:
        test_s: Seconds of a test on average; each takes up to a fifth more or less.
        dead_from_s: When the grid goes down, and `dead_s` for how long.
        start_s: Seconds until a living grid has started a session.
        refusal_s: Seconds until a request to a dead one has failed.
        status_tells: Whether the grid's status says that it is down.
    """

    tests: int = 400
    workers: int = 8
    test_s: float = 6.0
    dead_from_s: float = 60.0
    dead_s: float = 60.0
    start_s: float = 1.0
    refusal_s: float = 10.0
    status_tells: bool = True
    seed: int = 0


@dataclass
class Told:
    """What became of a run.

    Attributes:
        passed: Tests that passed.
        lost: Tests that did not.
        dead_requests: Sessions asked for while the grid was down.
        wasted_s: Seconds of workers in requests that failed, and in recoveries.
        late_s: Seconds from the grid's return to the next session of a test.
        seconds: Length of the run.
        executions: How often each test was begun by a worker; once.
    """

    passed: int = 0
    lost: int = 0
    dead_requests: int = 0
    wasted_s: float = 0.0
    late_s: float | None = None
    seconds: float = 0.0
    executions: list[int] = field(default_factory=list)


class Run:
    """A run under way: the tests that are left, the grid, and what is known of both.

    Attributes:
        waited: Seconds that a worker has waited for its circuit in vain.
    """

    def __init__(self, plan: Plan, config: CircuitConfig) -> None:
        self.plan = plan
        self.simulation = Simulation()
        self.told = Told(executions=[0] * plan.tests)
        self.waited: dict[CircuitBreaker, float] = {}
        self._chance = random.Random(plan.seed)
        self._left = deque(range(plan.tests))
        self._dead_from = plan.dead_from_s + self._chance.uniform(0, plan.test_s)
        self._config = config
        self._cell = MemoryCell()

    def circuit(self) -> CircuitBreaker:
        """Return the circuit of the grid as one worker has it."""
        return CircuitBreaker(
            self._config,
            name="grid",
            kind="endpoint",
            monotonic=lambda: self.simulation.now,
            chance=self._chance,
            cell=self._cell,
        )

    @property
    def is_dead(self) -> bool:
        """Whether the grid is down now."""
        return 0 <= self.simulation.now - self._dead_from < self.plan.dead_s

    def status(self) -> bool:
        """Return what the grid says of itself."""
        return not (self.is_dead and self.plan.status_tells)

    def work(self, one_test: Callable[[Run, CircuitBreaker], Doing]) -> Iterator[float]:
        """Run tests as a worker, until none is left."""
        circuit = self.circuit()
        while self._left:
            self.told.executions[self._left.popleft()] += 1
            if (yield from one_test(self, circuit)):
                self.told.passed += 1
            else:
                self.told.lost += 1
        self.told.seconds = self.simulation.now

    def waste(self, seconds: float) -> Iterator[float]:
        """Let `seconds` pass for nothing."""
        self.told.wasted_s += seconds
        yield seconds

    def session(self) -> Doing:
        """Ask for a session."""
        if self.is_dead:
            self.told.dead_requests += 1
            yield from self.waste(self.plan.refusal_s)
            return False
        yield self.plan.start_s
        return True

    def body(self) -> Iterator[float]:
        """Do what a test does with its session."""
        end = self._dead_from + self.plan.dead_s
        if self.told.late_s is None and self.simulation.now >= end:
            self.told.late_s = self.simulation.now - self.plan.start_s - end
        yield self.plan.test_s * self._chance.uniform(0.8, 1.2)


def without_circuit(run: Run, _circuit: CircuitBreaker) -> Doing:
    """Run a test; whatever fails is recovered and tried again, up to the end of the ladder."""
    for recovery_s in (*LADDER_S, None):
        if (yield from run.session()):
            yield from run.body()
            return True
        if recovery_s is not None:
            yield from run.waste(recovery_s)
    return False


def failing_fast(run: Run, circuit: CircuitBreaker) -> Doing:
    """Run a test; it is lost as soon as the circuit refuses it."""
    for recovery_s in (*LADDER_S, None):
        permit = circuit.try_acquire()
        if permit is None:
            yield 0.01
            return False
        good = yield from run.session()
        circuit.report(permit, Outcome.SUCCESS if good else Outcome.FAILURE)
        if good:
            yield from run.body()
            return True
        if recovery_s is not None:
            yield from run.waste(recovery_s)
    return False


@dataclass(frozen=True)
class Holding:
    """Run a test; while the circuit refuses it, wait and probe.

    Attributes:
        max_wait_s: Seconds a worker waits for one outage, in all; then its tests are lost.
    """

    max_wait_s: float

    def __call__(self, run: Run, circuit: CircuitBreaker) -> Doing:
        """Run a test."""
        for recovery_s in (*LADDER_S, None):
            while (permit := self._permit(circuit)) is None:
                if not (yield from self._hold(run, circuit)):
                    return False
            good = yield from run.session()
            outcome = Outcome.SUCCESS if good else Outcome.FAILURE
            circuit.report(permit, outcome, "" if good else "no session")
            if good:
                yield from run.body()
                return True
            if not run.status():
                circuit.trip("the grid says that it is down")
            if recovery_s is not None and circuit.get_state() is CircuitState.CLOSED:
                yield from run.waste(recovery_s)
        return False

    def _permit(self, circuit: CircuitBreaker) -> object:
        closed = circuit.get_state() is CircuitState.CLOSED
        return circuit.try_acquire() if closed else None

    def _hold(self, run: Run, circuit: CircuitBreaker) -> Doing:
        """Wait until the circuit has closed; False if that takes too long."""
        clock, begun = run.simulation, run.simulation.now
        waited_s, pause_s = run.waited.pop(circuit, 0.0), FIRST_PAUSE_S
        deadline = begun + self.max_wait_s - waited_s
        while circuit.get_state() is not CircuitState.CLOSED:
            if clock.now >= deadline:
                run.waited[circuit] = waited_s + clock.now - begun
                return False
            end = min(clock.now + pause_s, deadline)
            while clock.now < end and circuit.get_state() is not CircuitState.CLOSED:
                yield min(TICK_S, end - clock.now)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            yield from self._probe(run, circuit)
        return True

    def _probe(self, run: Run, circuit: CircuitBreaker) -> Iterator[float]:
        ready = run.status()
        circuit.probed(ready)
        while ready and circuit.get_state() is CircuitState.HALF_OPEN:
            permit = circuit.try_acquire()
            if permit is None:
                return
            ready = yield from run.session()
            circuit.report(permit, Outcome.SUCCESS if ready else Outcome.FAILURE)


def played(
    plan: Plan, one_test: Callable[[Run, CircuitBreaker], Doing], config: CircuitConfig
) -> Told:
    """Return what becomes of `plan` if tests are run by `one_test`."""
    run = Run(plan, config)
    for _ in range(plan.workers):
        run.simulation.add(run.work(one_test))
    run.simulation.run()
    return run.told
