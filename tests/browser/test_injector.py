"""The injector that is called: whom it strikes, what circuits say, what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from pytest_resilience import BrowserFailureInjector, CircuitBreaker, FailureType
from pytest_resilience.browser import faults
from pytest_resilience.browser.bridges import driver_in, drivers_in
from pytest_resilience.browser.fault_applied import FaultError, InjectedError
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.exceptions import ConfigurationError

DRIVER = WebDriver.__new__(WebDriver)


class ByProperty:
    """A wrapper that hands its driver out."""

    __slots__ = ()

    @property
    def driver(self) -> WebDriver:
        return DRIVER


class NotYet:
    """A wrapper that has no driver yet."""

    @property
    def driver(self) -> WebDriver:
        raise RuntimeError("not started")


class TestBridges:
    """What a driver is found in."""

    @pytest.mark.parametrize(
        "bridge",
        [
            pytest.param(DRIVER, id="itself"),
            pytest.param(SimpleNamespace(app=SimpleNamespace(_driver=DRIVER)), id="wrappers"),
            pytest.param({"name": "x", "driver": DRIVER}, id="dict"),
            pytest.param([None, (DRIVER,)], id="list"),
            pytest.param(ByProperty(), id="property"),
        ],
    )
    def test_it_is_found(self, bridge: object) -> None:
        assert driver_in(bridge) is DRIVER

    @pytest.mark.parametrize("bridge", [None, "driver", 3, NotYet(), [], WebDriver])
    def test_where_there_is_none_there_is_none(self, bridge: object) -> None:
        assert driver_in(bridge) is None

    def test_what_holds_itself_is_looked_at_once(self) -> None:
        one = SimpleNamespace()
        one.again = [one, {"one": one}]
        assert driver_in(one) is None
        assert list(drivers_in([one, DRIVER])) == [DRIVER]

    def test_a_bridge_without_a_driver_is_an_error_that_says_so(self) -> None:
        with pytest.raises(FaultError, match="'page' is no driver of Selenium"):
            BrowserFailureInjector("page").inject_failure("crash")


class Struck(BrowserFailureInjector):
    """An injector whose deeds are none, on a session of which nothing exists."""

    def _target(self) -> Any:
        session = DriverSession(
            session_id="0f", browser="chrome", browser_version="", endpoint="http://127.0.0.1:1",
            remote=False, wire=Wire("http://127.0.0.1:1"), requested=None, capabilities={},
        )  # fmt: skip
        return SessionRegistry(), session


class Circuit:
    """A circuit in a state of our choice."""

    def __init__(self, state: CircuitState) -> None:
        self.state = state
        self.failures: list[str] = []

    def get_state(self) -> CircuitState:
        return self.state

    def record_failure(self, reason: str) -> None:
        self.failures.append(reason)

    def get_metrics(self) -> dict[str, Any]:
        return {"state": "x", "failure_count": 0, "threshold": 5, "threshold_percent": 0.0}


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let deeds do nothing but note that they are undone."""
    names: list[str] = []
    for name in set(faults.DEEDS) - {"raise_error", "kill_driver"}:
        deed = lambda applied: applied.when_undone(lambda: names.append(applied.name))  # noqa: E731
        monkeypatch.setitem(faults.DEEDS, name, deed)  # type: ignore[arg-type]
    return names  # type: ignore[return-value]


def injector(state: CircuitState, **named: Any) -> tuple[Struck, Circuit]:
    circuit = Circuit(state)
    return Struck(object(), circuit, seed=1, **named), circuit  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "struck"),
    [
        (CircuitState.CLOSED, [True, True, True]),
        (CircuitState.HALF_OPEN, [True, True, False]),
        (CircuitState.OPEN, [False, False, False]),
    ],
)
def test_a_circuit_decides_what_is_injected(state: CircuitState, struck: list[bool]) -> None:
    ours, _circuit = injector(state)
    found = [ours.inject_failure("timeout", level) for level in ("mild", "moderate", "severe")]
    assert [bool(injected) for injected in found] == struck
    assert {injected.reason for injected in found} <= {"", f"the circuit is {state.value}"}
    stats = ours.get_failure_stats()
    assert (stats["successes"], stats["refused"]) == (sum(struck), 3 - sum(struck))


def test_without_the_circuit_everything_is_injected_and_nobody_told() -> None:
    ours, circuit = injector(CircuitState.OPEN, use_circuit_breaker=False)
    assert ours.inject_failure(FailureType.CRASH, intensity="severe")
    assert circuit.failures == []
    assert "circuit_breaker" not in ours.get_failure_stats()


def test_the_circuit_hears_of_what_counts_alone() -> None:
    """Severe ones, crashes, and the same type twice."""
    ours, circuit = injector(CircuitState.CLOSED)
    mild = ("hang", "mild")
    for kind, level in [mild, ("crash", "mild"), ("timeout", "severe"), mild, mild]:
        ours.inject_failure(kind, level)
    told = [reason.partition(":")[0] for reason in circuit.failures]
    assert told == ["injected crash", "injected timeout", "injected hang"]


def test_random_failures_come_in_the_same_order_with_the_same_seed() -> None:
    """And none is severe if it must not be, or if the circuit is half-open."""
    drawn = []
    for _ in range(2):
        ours, _circuit = injector(CircuitState.CLOSED)
        drawn.append([str(ours.inject_random_failure(exclude_severe=True)) for _ in range(20)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 3
    assert not any("severe" in told for told in drawn[0])
    ours, _circuit = injector(CircuitState.HALF_OPEN)
    assert all("severe" not in str(ours.inject_random_failure()) for _ in range(20))
    ours, _circuit = injector(CircuitState.OPEN)
    assert not ours.inject_random_failure()


def test_the_result_can_be_awaited() -> None:
    async def inject() -> bool:
        ours, _circuit = injector(CircuitState.CLOSED)
        return bool(await ours.inject_failure("crash")) and bool(await ours.inject_random_failure())

    assert asyncio.run(inject())


def test_everything_is_undone_the_last_first(undone: list[str]) -> None:
    ours, _circuit = injector(CircuitState.CLOSED)
    with ours:
        ours.inject_failure("crash", "moderate")
        injected = ours.inject_failure("hang", "moderate")
        assert injected.fault == "freeze_browser"
        assert injected.evidence["undone"] is False
    assert undone == ["freeze_browser", "crash_tab"]


def test_what_cannot_be_injected_is_an_error_that_says_why() -> None:
    ours, _circuit = injector(CircuitState.CLOSED)
    with pytest.raises(ConfigurationError, match="unknown type 'crush'"):
        ours.inject_failure("crush")
    with pytest.raises(FaultError, match="needs a driver that runs on this machine"):
        ours.inject_failure("driver_crash", "severe")
    with pytest.raises(InjectedError):
        ours.inject_failure("internal_error")
    stats = ours.get_failure_stats()
    assert (stats["attempts"], stats["successes"]) == (2, 1)


def test_the_figures_of_a_true_circuit_are_told() -> None:
    circuit = CircuitBreaker(failure_threshold=4, name="browser_circuit")
    ours = Struck(object(), circuit)
    ours.inject_failure("crash", "severe")
    told = ours.get_failure_stats()["circuit_breaker"]
    assert told == {
        "state": "closed",
        "failure_count": 1,
        "threshold": 4,
        "threshold_percent": 25.0,
    }
