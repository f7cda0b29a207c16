"""The circuits of a run: one for each kind and name."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pytest_resilience.core.circuit import (
    CircuitBreaker,
    CircuitConfig,
    CircuitState,
    MemoryCell,
    Transition,
)
from pytest_resilience.core.registry import KINDS, CircuitRegistry
from pytest_resilience.exceptions import ConfigurationError
from tests.core.circuits import new_registry
from tests.doubles import FakeClock

QUICK = CircuitConfig(failure_threshold=1)


class TestCircuits:
    """Made when they are asked for, and kept."""

    def test_there_is_one_for_a_kind_and_name(self, registry: CircuitRegistry) -> None:
        chrome = registry.get("browser", "chrome")
        assert (chrome.kind, chrome.name) == ("browser", "chrome")
        assert registry.get("browser", "chrome") is chrome
        assert registry.get("worker", "chrome") is not chrome
        assert registry.get("browser", "firefox") is not chrome

    def test_it_can_begin_anew(self, registry: CircuitRegistry) -> None:
        """With other parameters, without circuits, and with nobody who listens."""
        heard: list[Transition] = []
        old = registry.get("browser", "chrome")
        registry.add_listener(heard.append)
        registry.renew({"browser": QUICK})
        assert registry.circuits() == []
        new_one = registry.get("browser", "chrome")
        assert (new_one is old, new_one.config) == (False, QUICK)
        new_one.record_failure()
        assert new_one.get_state() == "open"
        assert heard == []

    def test_the_kinds_are_these(self) -> None:
        assert KINDS == ("browser", "endpoint", "worker", "hardware", "test_type")

    @pytest.mark.parametrize(
        ("kind", "told"),
        [
            ("browsers", " Did you mean 'browser'?"),
            ("node", ""),
        ],
    )
    def test_another_kind_is_refused_with_the_nearest(
        self, registry: CircuitRegistry, kind: str, told: str
    ) -> None:
        for use in (
            lambda: registry.get(kind, "x"),
            lambda: registry.config(kind),
            lambda: registry.reset(kind),
            lambda: registry.configure({kind: QUICK}),
            lambda: new_registry(FakeClock(), {kind: QUICK}),
        ):
            with pytest.raises(ConfigurationError) as refused:
                use()
            assert refused.value.message == (
                f"kind of circuit: {kind!r} is not valid; expected one of "
                f"browser, endpoint, worker, hardware, test_type.{told}"
            )

    def test_each_kind_has_its_parameters(self, clock: FakeClock) -> None:
        registry = new_registry(clock, {"worker": QUICK})
        assert registry.get("worker", "gw0").config is QUICK
        assert registry.config("worker") is QUICK
        assert registry.get("browser", "chrome").config == CircuitConfig()

    def test_clock_and_chance_are_those_given(
        self, registry: CircuitRegistry, clock: FakeClock
    ) -> None:
        chrome = registry.get("browser", "chrome")
        chrome.trip("x")
        assert (chrome.next_probe(), chrome.retry_after()) == (30.0, 60.0)
        clock.sleep(1)
        assert (chrome.next_probe(), chrome.retry_after()) == (29.0, 59.0)

    def test_they_are_listed_by_kind_and_name(self, registry: CircuitRegistry) -> None:
        for kind, name in (("worker", "b"), ("browser", "z"), ("worker", "a")):
            registry.get(kind, name)
        labels = [breaker.label for breaker in registry.circuits()]
        assert labels == ["browser:z", "worker:a", "worker:b"]

    def test_open_ones_are_those_that_refuse(
        self, registry: CircuitRegistry, clock: FakeClock
    ) -> None:
        for name in "abcd":
            registry.get("worker", name)
        registry.get("worker", "b").trip("x")
        registry.get("worker", "c").isolate()
        assert [breaker.name for breaker in registry.open_circuits()] == ["b", "c"]
        clock.sleep(60)
        assert [breaker.name for breaker in registry.open_circuits()] == ["c"]

    def test_cells_are_made_by_kind_and_name(self, clock: FakeClock) -> None:
        cells: dict[tuple[str, str], MemoryCell] = {}

        def make_cell(kind: str, name: str) -> MemoryCell:
            return cells.setdefault((kind, name), MemoryCell())

        one, other = (new_registry(clock, make_cell=make_cell) for _ in range(2))
        one.get("browser", "chrome").trip("x")
        assert other.get("browser", "chrome").get_state() is CircuitState.OPEN
        assert list(cells) == [("browser", "chrome")]

    def test_many_threads_get_the_same_one(self, registry: CircuitRegistry) -> None:
        found: list[CircuitBreaker] = []
        barrier = threading.Barrier(8)

        def ask() -> None:
            barrier.wait(60)
            found.append(registry.get("worker", "gw0"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(found) == 8
        assert len({id(breaker) for breaker in found}) == 1


class TestConfigure:
    """Parameters and cells can be replaced while there are circuits."""

    def test_it_holds_for_those_there_are_and_for_later_ones(
        self, registry: CircuitRegistry
    ) -> None:
        before = registry.get("worker", "gw0"), registry.get("browser", "chrome")
        registry.configure({"worker": QUICK})
        assert [b.config for b in before] == [QUICK, CircuitConfig()]
        assert registry.get("worker", "gw1").config is QUICK
        registry.configure({"browser": QUICK})
        assert [b.config for b in before] == [QUICK, QUICK]

    def test_all_move_to_other_cells_if_these_are_given(self, registry: CircuitRegistry) -> None:
        made: list[str] = []

        def make_cell(kind: str, name: str) -> MemoryCell:
            made.append(f"{kind} {name}")
            return MemoryCell()

        worker = registry.get("worker", "gw0")
        worker.trip("x")
        registry.configure({}, make_cell)
        assert worker.get_state() is CircuitState.CLOSED
        registry.get("browser", "chrome")
        registry.configure({"worker": QUICK})
        registry.get("browser", "firefox")
        assert made == ["worker gw0", "browser chrome", "browser firefox"]


class TestRenew:
    """A run begins with circuits of its own."""

    def test_nothing_is_left_of_what_was_before(self, registry: CircuitRegistry) -> None:
        heard: list[object] = []
        registry.configure({"worker": QUICK}, lambda _kind, _name: MemoryCell())
        registry.add_listener(heard.append)
        registry.on_alert(heard.append)
        before = registry.get("worker", "gw0")
        registry.renew()
        assert registry.circuits() == []
        after = registry.get("worker", "gw0")
        assert after is not before
        assert after.config == CircuitConfig()
        after.trip("x")
        assert heard == []

    def test_what_is_given_holds_from_then_on(self, registry: CircuitRegistry) -> None:
        alerts: list[object] = []
        cell = MemoryCell()
        registry.get("worker", "gw0").trip("x")
        registry.renew({"worker": QUICK}, lambda _kind, _name: cell)
        registry.on_alert(alerts.append)
        registry.get("worker", "gw0").record_failure()
        assert cell.read().state is CircuitState.OPEN
        assert len(alerts) == 1

    def test_kinds_are_checked(self, registry: CircuitRegistry) -> None:
        with pytest.raises(ConfigurationError, match="kind of circuit: 'node'"):
            registry.renew({"node": QUICK})


class TestReset:
    """All, those of a kind, or one."""

    @pytest.mark.parametrize(
        ("which", "labels"),
        [
            pytest.param((), ["browser:a", "worker:a", "worker:b"], id="all"),
            pytest.param(("worker",), ["worker:a", "worker:b"], id="kind"),
            pytest.param(("worker", "b"), ["worker:b"], id="one"),
            pytest.param((None, "a"), ["browser:a", "worker:a"], id="name"),
            pytest.param(("endpoint",), [], id="kind-without-circuits"),
        ],
    )
    def test_these_are_closed_and_no_others(
        self, registry: CircuitRegistry, which: tuple[Any, ...], labels: list[str]
    ) -> None:
        circuits = [
            registry.get(*of) for of in (("browser", "a"), ("worker", "a"), ("worker", "b"))
        ]
        for breaker in circuits:
            breaker.trip("x")
        assert [breaker.label for breaker in registry.reset(*which)] == labels
        closed = [b.label for b in circuits if b.get_state() is CircuitState.CLOSED]
        assert closed == labels

    @pytest.mark.parametrize(
        ("which", "told"),
        [
            pytest.param(
                ("worker", "gw9"),
                "circuit 'gw9' is not known; known ones: gw0, gw1. Did you mean 'gw1'?",
                id="name",
            ),
            pytest.param(
                ("browser", "gw0"), "circuit 'gw0' is not known; known ones: none.", id="kind"
            ),
        ],
    )
    def test_one_that_is_not_there_is_an_error_that_names_those_that_are(
        self, registry: CircuitRegistry, which: tuple[str, str], told: str
    ) -> None:
        registry.get("worker", "gw1")
        registry.get("worker", "gw0")
        with pytest.raises(ConfigurationError) as refused:
            registry.reset(*which)
        assert refused.value.message == told
