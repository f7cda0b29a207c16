"""What of a test's end counts on a circuit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.circuit_record import Outcome
from pytest_resilience.core.failures import ErrorSeverity, ErrorType
from pytest_resilience.core.recording import kinds_of, weigh

USUAL: dict[str, Any] = {
    "recovered": False,
    "half_open": False,
    "broken": False,
    "repeated": False,
}


def outcome(error_type: ErrorType, severity: ErrorSeverity, **facts: bool) -> Outcome:
    return weigh(error_type, severity, **{**USUAL, **facts}).outcome


@pytest.mark.parametrize(
    ("error_type", "severity", "facts", "expected"),
    [
        pytest.param(ErrorType.PRODUCT, ErrorSeverity.HIGH, {}, Outcome.SUCCESS, id="an-assertion"),
        pytest.param(ErrorType.PAGE, ErrorSeverity.HIGH, {}, Outcome.SUCCESS, id="the-page"),
        pytest.param(
            ErrorType.PRODUCT,
            ErrorSeverity.HIGH,
            {"half_open": True},
            Outcome.SUCCESS,
            id="an-assertion-on-trial",
        ),
        pytest.param(ErrorType.UNKNOWN, ErrorSeverity.HIGH, {}, Outcome.IGNORED, id="unknown"),
        pytest.param(ErrorType.TEST_CODE, ErrorSeverity.LOW, {}, Outcome.IGNORED, id="test-code"),
        pytest.param(
            ErrorType.CIRCUIT_OPEN,
            ErrorSeverity.HIGH,
            {"half_open": True},
            Outcome.IGNORED,
            id="its-own-refusal",
        ),
        pytest.param(ErrorType.BROWSER, ErrorSeverity.HIGH, {}, Outcome.FAILURE, id="severe"),
        pytest.param(
            ErrorType.BROWSER,
            ErrorSeverity.CRITICAL,
            {"recovered": True},
            Outcome.IGNORED,
            id="recovered",
        ),
        pytest.param(
            ErrorType.CONNECTION,
            ErrorSeverity.LOW,
            {"half_open": True},
            Outcome.FAILURE,
            id="anything-on-trial",
        ),
        pytest.param(
            ErrorType.CONNECTION, ErrorSeverity.MEDIUM, {}, Outcome.IGNORED, id="moderate"
        ),
        pytest.param(
            ErrorType.CONNECTION,
            ErrorSeverity.MEDIUM,
            {"broken": True},
            Outcome.FAILURE,
            id="moderate-but-the-session-is-lost",
        ),
        pytest.param(
            ErrorType.CONNECTION,
            ErrorSeverity.MEDIUM,
            {"repeated": True},
            Outcome.FAILURE,
            id="once-more",
        ),
        pytest.param(
            ErrorType.TIMEOUT, ErrorSeverity.LOW, {"broken": True}, Outcome.IGNORED, id="mild"
        ),
    ],
)
def test_an_end_counts_for_what_it_says_of_the_infrastructure(
    error_type: ErrorType, severity: ErrorSeverity, facts: dict[str, bool], expected: Outcome
) -> None:
    assert outcome(error_type, severity, **facts) is expected


@given(
    error_type=st.sampled_from(ErrorType),
    severity=st.sampled_from(ErrorSeverity),
    facts=st.fixed_dictionaries(dict.fromkeys(USUAL, st.booleans())),
)
def test_every_weight_has_a_reason_and_no_product_failure_opens_a_circuit(
    error_type: ErrorType, severity: ErrorSeverity, facts: dict[str, bool]
) -> None:
    weight = weigh(error_type, severity, **facts)
    assert weight.reason
    if weight.outcome is Outcome.FAILURE:
        assert error_type.infrastructure
        assert facts["half_open"] or not facts["recovered"]


@pytest.mark.parametrize("error_type", ErrorType, ids=lambda member: member.label)
def test_only_infrastructure_counts_on_a_circuit_by_itself(error_type: ErrorType) -> None:
    for remote in (True, False):
        kinds = kinds_of(error_type, remote=remote, starting=False)
        assert error_type.infrastructure or not kinds
        assert "endpoint" not in kinds or remote


@pytest.mark.parametrize(
    ("remote", "kinds"), [(True, ("browser", "endpoint")), (False, ("browser",))], ids=str
)
def test_a_session_that_cannot_be_had_counts_whatever_it_wants_for(
    remote: bool, kinds: tuple[str, ...]
) -> None:
    assert kinds_of(ErrorType.RESOURCE, remote=remote, starting=True) == kinds
    assert kinds_of(ErrorType.RESOURCE, remote=remote, starting=False) == ()
