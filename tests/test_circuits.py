"""Circuits on the real clock, as users meet them."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import threading
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

import pytest_resilience
from pytest_resilience import CircuitBreaker, CircuitConfig, CircuitOpenError, CircuitState
from pytest_resilience.circuits import CIRCUITS, Circuits
from pytest_resilience.core import circuit
from pytest_resilience.core.circuit import MemoryCell, Outcome, Transition
from pytest_resilience.core.registry import KINDS
from pytest_resilience.exceptions import ConfigurationError
from tests.docs.pages import DOCS, sections, table, tables


@pytest.fixture(autouse=True)
def fresh_circuits() -> Iterator[None]:
    """The circuits of the process are as closed afterwards as they were before."""
    CIRCUITS.reset()
    yield
    CIRCUITS.reset()


def fail() -> None:
    raise ConnectionError("refused")


class TestCircuitBreaker:
    """The public class."""

    def test_it_is_made_with_the_documented_parameters(self) -> None:
        breaker = CircuitBreaker(
            failure_threshold=3, recovery_timeout=30, half_open_after=15, name="api_circuit"
        )
        assert breaker.name == breaker.label == "api_circuit"
        assert breaker.config == CircuitConfig(
            failure_threshold=3, recovery_timeout=30, half_open_after=15
        )
        assert breaker.get_state() == "closed"

    def test_without_parameters_it_has_the_usual_ones(self) -> None:
        breaker = CircuitBreaker()
        assert (breaker.name, breaker.kind) == ("circuit", "")
        assert breaker.config == CircuitConfig()

    def test_its_parameters_are_those_of_a_configuration(self) -> None:
        own = {"self", "name", "kind", "cell", "judge", "monotonic"}
        parameters = set(inspect.signature(CircuitBreaker.__init__).parameters) - own
        assert parameters == set(inspect.signature(CircuitConfig).parameters)

    def test_every_parameter_arrives(self) -> None:
        given: dict[str, Any] = {
            "failure_threshold": 7,
            "recovery_timeout": 50.0,
            "half_open_after": 20.0,
            "success_threshold": 3,
            "failure_rate": 0.25,
            "minimum_calls": 9,
            "window_s": 40.0,
            "probes": 2,
            "lease_s": 45.0,
            "growth": 3.0,
            "predictive": True,
        }
        cell = MemoryCell()
        breaker = CircuitBreaker(
            **given, name="x", kind="grid", cell=cell, judge=lambda _error: Outcome.IGNORED
        )
        assert breaker.config == CircuitConfig(**given)
        assert breaker.label == "grid:x"
        breaker.execute(int)
        assert cell.read().ignored == 1

    def test_wrong_ones_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="failure_threshold: 0 is not valid"):
            CircuitBreaker(failure_threshold=0)

    def test_it_half_opens_by_itself_as_time_passes(self) -> None:
        breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=0.05, success_threshold=1)
        states: list[CircuitState] = []
        breaker.add_listener(lambda move: states.append(move.to_state))
        breaker.record_failure()
        while breaker.get_state() is CircuitState.OPEN:
            threading.Event().wait(0.01)
        breaker.record_success()
        assert states == ["open", "half-open", "closed"]

    def test_an_async_function_is_executed(self) -> None:
        async def double(number: int) -> int:
            await asyncio.sleep(0)
            return 2 * number

        assert asyncio.run(CircuitBreaker().execute(double, number=21)) == 42


class TestError:
    """`CircuitOpenError`."""

    def test_it_is_carried_between_processes_with_all_it_says(self) -> None:
        error = CircuitOpenError("chrome", 1.5, "refused", kind="browser", state="half-open")
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), vars(again)) == (str(error), vars(error))

    def test_it_needs_no_reason(self) -> None:
        assert str(CircuitOpenError("x", 2.0)) == (
            "circuit 'x' is open; try again in 2.0 s. [circuit-open]"
        )

    def test_it_is_diagnosed_as_a_refusal(self) -> None:
        """The classification knows the words of the message."""
        from pytest_resilience.core.triage import triage

        for error in (
            CircuitOpenError("x", 2.0, "refused"),
            CircuitOpenError("x", float("inf"), kind="browser", state="isolated"),
            CircuitOpenError("x", 2.0, state="half-open"),
        ):
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            found = triage({"exc_type": kind, "message": str(error)})
            assert found["error_type"] == "circuit_open"


NAMES = {
    "browser": ("create_browser_circuit_breaker", "browser_circuit_breaker"),
    "endpoint": ("create_endpoint_circuit_breaker", "endpoint_circuit_breaker"),
    "worker": ("create_worker_circuit_breaker", "worker_circuit_breaker"),
    "hardware": ("create_hardware_circuit_breaker", "hardware_circuit_breaker"),
    "test_type": ("create_test_type_circuit_breaker", "test_type_circuit_breaker"),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


class TestCircuitsOfTheRun:
    """Factories and decorators over the registry of the process."""

    @each_kind
    def test_a_factory_returns_the_one_circuit(self, kind: str) -> None:
        create = getattr(pytest_resilience, NAMES[kind][0])
        breaker = create("mine")
        assert breaker is create("mine") is CIRCUITS.get(kind, "mine")
        assert isinstance(breaker, CircuitBreaker)
        assert breaker.label == f"{kind}:mine"

    @each_kind
    def test_a_decorated_function_goes_through_it(self, kind: str) -> None:
        decorate = getattr(pytest_resilience, NAMES[kind][1])
        decorated = decorate("decorated")(fail)
        for _ in range(5):
            with pytest.raises(ConnectionError):
                decorated()
        with pytest.raises(CircuitOpenError) as refused:
            decorated()
        assert (refused.value.kind, refused.value.circuit) == (kind, "decorated")

    @each_kind
    def test_a_decorated_coroutine_function_does_too(self, kind: str) -> None:
        @getattr(pytest_resilience, NAMES[kind][1])("later")
        async def later() -> int:
            await asyncio.sleep(0)
            return 42

        assert asyncio.run(later()) == 42
        assert CIRCUITS.get(kind, "later").get_metrics()["total_successes"] >= 1
        CIRCUITS.get(kind, "later").isolate()
        with pytest.raises(CircuitOpenError):
            asyncio.run(later())

    def test_decorating_makes_no_circuit_yet(self) -> None:
        pytest_resilience.worker_circuit_breaker("not yet")(fail)
        assert "not yet" not in [breaker.name for breaker in CIRCUITS.circuits()]

    def test_health_is_that_of_these_circuits(self) -> None:
        pytest_resilience.create_hardware_circuit_breaker("GPU").isolate()
        metrics = pytest_resilience.get_health_metrics()
        assert metrics["hardware_classes"]["GPU"]["state"] == "ISOLATED"
        assert metrics["aggregate"]["open_circuits"] == 1

    def test_a_decorator_that_is_called_like_a_test_is_none(self) -> None:
        assert pytest_resilience.test_type_circuit_breaker.__test__ is False


class TestRegistry:
    """`Circuits`."""

    def test_its_circuits_are_of_the_public_class_with_the_parameters_of_their_kind(self) -> None:
        config = CircuitConfig(failure_threshold=1, predictive=True, recovery_timeout=5)
        cell = MemoryCell()
        circuits = Circuits({"worker": config}, make_cell=lambda _kind, _name: cell)
        worker = circuits.get("worker", "gw0")
        assert isinstance(worker, CircuitBreaker)
        assert worker.config == config
        worker.record_failure()
        assert cell.read().state is CircuitState.OPEN
        assert 0 < worker.retry_after() <= 5

    def test_the_public_class_is_one_of_the_core(self) -> None:
        assert issubclass(CircuitBreaker, circuit.CircuitBreaker)


REFERENCE = DOCS / "reference" / "circuits.md"


def listed(section: str, column: str) -> list[str]:
    """Return a column of the table in a section of the reference, without arguments."""
    (rows,) = (t for t in tables(sections(REFERENCE)[section]) if column in t[0])
    return [row[column].strip("`").partition("(")[0] for row in rows]


class TestReference:
    """circuits.md says what the code says."""

    def test_it_lists_the_parameters_with_their_defaults(self) -> None:
        rows = table(REFERENCE, "parameter")
        told = {row["parameter"]: row["default"].strip("`") for row in rows}
        assert told == {
            f.name: str(getattr(CircuitConfig(), f.name)) for f in fields(CircuitConfig)
        }

    def test_it_lists_the_states(self) -> None:
        (rows,) = (t for t in tables(sections(REFERENCE)["States"]) if "calls" in t[0])
        assert [row["state"] for row in rows] == [state.value for state in CircuitState]

    @pytest.mark.parametrize(
        ("section", "kind"),
        [("Methods", CircuitBreaker), ("Circuits of a run", Circuits)],
        ids=["breaker", "registry"],
    )
    def test_it_lists_the_methods(self, section: str, kind: type) -> None:
        told = set(listed(section, "method")) - {"@grid"}
        there = {
            name
            for name in dir(kind)
            if not name.startswith("_") and callable(getattr(kind, name)) and name != "finish"
        }
        assert told == there

    def test_it_lists_the_figures(self) -> None:
        assert listed("Figures", "figure") == list(CircuitBreaker().get_metrics())

    def test_it_lists_what_a_transition_says(self) -> None:
        assert listed("Transitions", "attribute") == [f.name for f in fields(Transition)]

    def test_it_lists_what_the_error_says(self) -> None:
        told = listed("CircuitOpenError", "attribute")
        assert set(told) == set(vars(CircuitOpenError("x", 1.0))) - {"message"}

    @each_kind
    def test_it_lists_factories_and_decorators(self, kind: str) -> None:
        create, decorate = NAMES[kind]
        text = sections(REFERENCE)["Circuits of a run"]
        assert f"`{kind}`" in text
        assert f"`{create}(" in text
        assert f"`@{decorate}(" in text

    def test_its_example_of_health_has_the_keys_of_the_metrics(self) -> None:
        text = sections(REFERENCE)["Health metrics"]
        told = json.loads(text.partition("```json\n")[2].partition("```")[0])
        circuits = Circuits()
        circuits.get("worker", "gw0")
        metrics = circuits.get_health_metrics()
        assert set(told) == set(metrics)
        assert list(told["aggregate"]) == list(metrics["aggregate"])
        of_one = set(told["workers"]["gw0"])
        assert of_one < set(metrics["workers"]["gw0"])
        assert all(f"`{key}`" in text for key in set(metrics["workers"]["gw0"]) - of_one)
