"""Circuits of a worker on another machine: by questions to its controller, and without them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_resilience.browser.starts import FailedStart
from pytest_resilience.core.circuit import CircuitBreaker
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.starts import Starts
from pytest_resilience.plugin import relay
from pytest_resilience.plugin.blame import StartBook
from pytest_resilience.plugin.relay import Exchange, Line, RelayedCells
from pytest_resilience.plugin.sharing import throttle_of
from pytest_resilience.store.live import SharedCells

#: The controller's clock is so many seconds ahead of the worker's.
AHEAD_S = 5000.0
#: More than any two looks at a clock are apart, and much less than the clocks are.
A_WHILE_S = 120.0
GRID = ("endpoint", "http://grid:4444")


class Interactor:
    """xdist's half in a worker, and the line to its controller, which hears in a thread."""

    def __init__(self) -> None:
        self.node: Any = SimpleNamespace(process_from_remote=self.left.append, sendcommand=self._in)
        self.cut = False

    @property
    def left(self) -> list[Any]:
        """What came to xdist itself, on either side."""
        return self.__dict__.setdefault("_left", [])

    def handle_command(self, command: Any) -> None:
        self.left.append(command)

    def sendevent(self, name: str, **kwargs: Any) -> None:
        if self.cut:
            raise OSError("cannot send (already closed?)")
        threading.Thread(target=self.node.process_from_remote, args=((name, kwargs),)).start()

    def _in(self, name: str, **kwargs: Any) -> None:
        self.handle_command((name, kwargs))


class Controller:
    """A controller with workers on other machines."""

    def __init__(self, folder: Path) -> None:
        self.cells = SharedCells(folder / "circuits.sqlite", run="r")
        self.faults: list[Exception] = []
        self.exchange = Exchange(self.cells, self.faults.append)

    def worker(self, *, patience_s: float = 30.0, opened: bool = True) -> tuple[Interactor, Any]:
        """Return the line to a worker that has begun to run tests, and its circuits."""
        interactor = Interactor()
        assert self.exchange.attend(interactor.node)
        line = Line(interactor, patience_s=patience_s)
        if opened:
            interactor.handle_command(("runtests", {"indices": [0]}))
        return interactor, RelayedCells(line, monotonic=lambda: time.monotonic() - AHEAD_S)


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def breaker(cells: Any, clock: Callable[[], float]) -> CircuitBreaker:
    return CircuitBreaker(
        CircuitConfig(failure_threshold=3, recovery_timeout=600.0, half_open_after=300.0),
        name=GRID[1],
        kind=GRID[0],
        monotonic=clock,
        chance=random.Random(1),
        cell=cells.cell(*GRID),
    )


def test_a_failure_there_counts_here_and_the_other_way_round(controller: Controller) -> None:
    """Three in a row open it, wherever each of them happened."""
    here = breaker(controller.cells, time.monotonic)
    (_, one), (_, other) = controller.worker(), controller.worker()
    there, yonder = breaker(one, one.clock), breaker(other, other.clock)
    for place in (there, here, yonder):
        assert place.record_failure("refused")
    assert relay.FRESH_S < 1.0, "by then they know"
    time.sleep(relay.FRESH_S)
    assert [str(place.get_state()) for place in (here, there, yonder)] == ["open"] * 3
    assert controller.faults == []


def test_times_are_those_of_the_controller(controller: Controller) -> None:
    """However far the clock of the other machine is off."""
    _, cells = controller.worker()
    there = breaker(cells, cells.clock)
    there.trip("no node")
    here = breaker(controller.cells, time.monotonic)
    assert here.retry_after() == pytest.approx(there.retry_after(), abs=A_WHILE_S)
    assert here.next_probe() == pytest.approx(there.next_probe(), abs=A_WHILE_S)


def test_no_change_is_lost_where_all_change_at_once(controller: Controller) -> None:
    """Two machines and the controller's own, each a hundred times."""
    ways = [breaker(controller.cells, time.monotonic)]
    for _ in range(2):
        _, cells = controller.worker()
        ways.append(breaker(cells, cells.clock))

    def count(way: CircuitBreaker) -> None:
        for _ in range(100):
            way.record_success()

    threads = [threading.Thread(target=count, args=(way,)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert controller.cells.cell(*GRID).read().successes == 300
    assert controller.faults == []


def test_what_is_fresh_is_not_asked_for_again(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "FRESH_S", A_WHILE_S)
    interactor, cells = controller.worker()
    there = breaker(cells, cells.clock)
    there.get_state()
    interactor.cut = True
    assert there.get_state() == "closed"
    assert cells.failure == ""


def test_before_the_first_item_nobody_can_be_asked(controller: Controller) -> None:
    """What is counted then stays in the worker, and nothing waits for an answer."""
    interactor, cells = controller.worker(opened=False)
    there = breaker(cells, cells.clock)
    there.record_failure("early")
    assert there.get_metrics()["total_failures"] == 1
    interactor.handle_command(("runtests", {"indices": [0]}))
    assert there.get_metrics()["total_failures"] == 0
    assert cells.failure == ""


@pytest.mark.parametrize("how", ["cut", "silent", "forked"])
def test_without_an_answer_it_goes_on_with_what_it_knows(how: str, controller: Controller) -> None:
    """From the state it knew, and for good, so that no test waits twice."""
    interactor, cells = controller.worker()
    there = breaker(cells, cells.clock)
    there.trip("no node")
    cells._line._patience_s = 0.2
    if how == "cut":
        interactor.cut = True
    elif how == "silent":
        interactor.node.process_from_remote = interactor.left.append
    else:
        cells._line._process = -1
    time.sleep(relay.FRESH_S)
    assert there.get_state() == "open"
    assert there.reset()
    assert there.get_state() == "closed"
    assert "circuits are no longer shared with workers on other machines" in cells.failure
    assert controller.cells.cell(*GRID).read().state == "open"


def test_an_answer_that_comes_too_late_is_not_taken_for_another(controller: Controller) -> None:
    interactor, cells = controller.worker()
    there = breaker(cells, cells.clock)
    interactor.handle_command((relay.NAME, {"number": 0, "done": True, "records": []}))
    there.record_failure("refused")
    assert controller.cells.cell(*GRID).read().failures == 1


def test_what_is_not_ours_goes_on_to_xdist(controller: Controller) -> None:
    interactor, _cells = controller.worker()
    interactor.node.process_from_remote(("workerready", {}))
    interactor.node.process_from_remote("the end")
    assert interactor.left == [("runtests", {"indices": [0]}), ("workerready", {}), "the end"]


def test_a_question_that_makes_no_sense_is_reported_here(controller: Controller) -> None:
    """And does not reach xdist, which would end the worker for it."""
    interactor, _cells = controller.worker()
    interactor.node.process_from_remote((relay.NAME, {"number": 1}))
    assert [type(fault) for fault in controller.faults] == [KeyError]


def test_an_xdist_that_is_unknown_is_left_alone(controller: Controller) -> None:
    assert not controller.exchange.attend(SimpleNamespace())


def test_what_is_no_circuit_is_shared_as_well(controller: Controller) -> None:
    """The starts of browsers, and what recoveries have cost."""
    (_, one), (_, other) = controller.worker(), controller.worker()
    books = [
        StartBook(name, cells.clock, lambda browser, cells=cells: starts_in(cells, browser))
        for name, cells in (("gw0", one), ("gw1", other))
    ]
    guards = [throttle_of(cells, 2) for cells in (one, other, controller.cells)]
    books[1].note("chrome", succeeded=True)
    books[0].note("chrome", succeeded=False)
    for guard in guards:
        guard.took(2.0)
    time.sleep(relay.FRESH_S)
    assert books[0].fails_alone(failed_start("chrome"))
    assert not books[0].fails_alone(failed_start("firefox"))
    # A driver that did not come up has not said for which browser it would have.
    assert books[0].fails_alone(failed_start(""))
    assert not books[0].fails_alone(failed_start("chrome", remote=True))
    assert not books[1].fails_alone(failed_start("chrome"))
    assert [guard.spent_s for guard in guards] == [6.0] * 3
    assert controller.faults == []


def starts_in(cells: Any, browser: str) -> Any:
    return cells.kept("starts", browser, Starts())


def failed_start(browser: str, *, remote: bool = False) -> FailedStart:
    return FailedStart(mark=1, browser=browser, remote=remote)
