"""What circuits allow, and how injected failures count on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.core.circuit_record import CircuitState, Outcome
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.core.recording import Weight
from pytest_resilience.plugin.circuits import _weight_injected
from pytest_resilience.plugin.injection_strike import Parts, Strikes

FAILURE = Weight(Outcome.FAILURE, "high severity")


def breaker(state: CircuitState) -> Any:
    return SimpleNamespace(kind="browser", name="chrome", get_state=lambda: state)


@pytest.mark.parametrize(
    ("injected", "state", "repeated", "outcome"),
    [
        pytest.param("hang:mild@call", CircuitState.CLOSED, False, Outcome.IGNORED, id="mild"),
        pytest.param(
            "hang:moderate@before:3", CircuitState.CLOSED, False, Outcome.IGNORED, id="moderate"
        ),
        pytest.param("hang:severe@call", CircuitState.CLOSED, False, Outcome.FAILURE, id="severe"),
        pytest.param("crash:mild@call", CircuitState.CLOSED, False, Outcome.FAILURE, id="crash"),
        pytest.param("hang:mild@call", CircuitState.CLOSED, True, Outcome.FAILURE, id="repeated"),
        pytest.param(
            "hang:mild@call", CircuitState.HALF_OPEN, False, Outcome.FAILURE, id="half-open"
        ),
        pytest.param(
            "hang:mild@call, crash:mild@setup",
            *(CircuitState.CLOSED, False, Outcome.FAILURE),
            id="several",
        ),
    ],
)
def test_an_injected_failure_counts_if_it_is_one_of_those_that_do(
    injected: str, state: CircuitState, repeated: bool, outcome: Outcome
) -> None:
    report: Any = SimpleNamespace(injected=injected)
    weight = _weight_injected(report, breaker(state), FAILURE, repeated=repeated)
    assert weight.outcome is outcome
    assert weight == FAILURE or weight.reason.startswith("injected: ")


@pytest.mark.parametrize(
    ("spec", "state", "allowed"),
    [
        ("crash:severe", CircuitState.CLOSED, True),
        ("crash:severe", CircuitState.HALF_OPEN, False),
        ("crash:moderate", CircuitState.HALF_OPEN, True),
        ("hang:mild", CircuitState.OPEN, False),
        ("hang:mild", CircuitState.ISOLATED, False),
    ],
)
def test_what_a_circuit_protects_is_struck_as_far_as_it_allows(
    spec: str, state: CircuitState, allowed: bool
) -> None:
    circuits = SimpleNamespace(of_session=lambda _session: (breaker(state),))
    parts = Parts(SessionRegistry(), lambda *_event: None, "main", circuits=circuits)
    strikes = Strikes(parts, {}, seed=0)
    session: Any = object()
    told = strikes.refusal(Injection.parse(spec), session)
    assert told == ("" if allowed else f"the circuit browser chrome is {state.value}")
    assert strikes.refusal(Injection.parse(spec), None) == ""
