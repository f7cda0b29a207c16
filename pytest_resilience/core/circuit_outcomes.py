"""What an exception says about the infrastructure: that it failed, that it answered, or nothing.

Invariant: a test's own verdict is never a failure of the infrastructure, and what interrupts or
skips a test is neither a failure nor a success.
"""

from __future__ import annotations

from pytest_resilience.core.circuit_record import Outcome
from pytest_resilience.exceptions import CircuitOpenError

_SELENIUM = "selenium.common.exceptions"
#: Exceptions by which a browser answers: it looked, and says what it found.
_ANSWERS = frozenset(
    {
        "ElementClickInterceptedException",
        "ElementNotInteractableException",
        "InvalidArgumentException",
        "InvalidElementStateException",
        "InvalidSelectorException",
        "JavascriptException",
        "MoveTargetOutOfBoundsException",
        "NoAlertPresentException",
        "NoSuchAttributeException",
        "NoSuchCookieException",
        "NoSuchElementException",
        "NoSuchFrameException",
        "NoSuchShadowRootException",
        "StaleElementReferenceException",
        "UnexpectedAlertPresentException",
    }
)
#: By their homes, so that nobody has to be imported who was not; pytest's pretend to be builtins.
_FAIL, _XFAIL = ("builtins", "Failed"), ("_pytest.outcomes", "XFailed")
_SILENT = frozenset(
    {
        _XFAIL,
        ("_pytest.outcomes", "Exit"),
        ("unittest.case", "SkipTest"),
        ("concurrent.futures._base", "CancelledError"),
    }
)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return what a call says that ended with `error`, or without one.

    Returns:
        SUCCESS without an error, for an `AssertionError`, for ``pytest.fail`` and for what a
        browser answers, such as that an element is missing. IGNORED for skips, interrupts,
        cancellations, and circuits that refuse. FAILURE for every other exception.
    """
    if error is None or isinstance(error, AssertionError):
        return Outcome.SUCCESS
    names = {(kind.__module__, kind.__name__) for kind in type(error).__mro__}
    if names & _SILENT or isinstance(error, CircuitOpenError):
        return Outcome.IGNORED
    if _FAIL in names or any(home == _SELENIUM and name in _ANSWERS for home, name in names):
        return Outcome.SUCCESS
    return Outcome.FAILURE if isinstance(error, Exception) else Outcome.IGNORED
