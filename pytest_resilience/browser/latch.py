"""Which failures of a command are worth remembering, and what they say.

A browser that dies names its cause once; every later command of the session gets a bare
"invalid session id". So the first failure is kept.

Invariant: pure; an exception is judged by the names of its classes and by its text, so
nothing of selenium has to be imported to judge it.
"""

from __future__ import annotations

from types import TracebackType

from pytest_resilience.core.failures import ErrorType, ExceptionFact
from pytest_resilience.core.rules.hang import BLAMED, COMMAND_HUNG, blamed

#: Characters of an exception's text that are kept.
TEXT_LIMIT = 1_000

_ANSWERS_ABOUT_SESSION = frozenset(
    {
        "WebDriverException",
        COMMAND_HUNG,
        "InvalidSessionIdException",
        "NoSuchWindowException",
        "SessionNotCreatedException",
    }
)
_ANSWERS_ABOUT_WAITING = ("from renderer", "when executing request")
_WIRE_ROOTS = frozenset(
    {"urllib3.exceptions.HTTPError", "http.client.HTTPException", "builtins.OSError"}
)

# The first text found decides, so the specific ones come first.
_SIGNS: tuple[tuple[str, ErrorType], ...] = (
    ("net::ERR_", ErrorType.NETWORK),
    ("about:neterror", ErrorType.NETWORK),
    ("tab crashed", ErrorType.BROWSER),
    ("page crash", ErrorType.BROWSER),
    ("disconnected", ErrorType.BROWSER),
    ("browser has closed the connection", ErrorType.BROWSER),
    ("not reachable", ErrorType.BROWSER),
    ("from marionette", ErrorType.BROWSER),
    ("without establishing a connection", ErrorType.BROWSER),
    ("session does not exist", ErrorType.BROWSER),
    ("no such window", ErrorType.TEST_CODE),
    ("browsing context has been discarded", ErrorType.TEST_CODE),
    ("unable to execute request for an existing session", ErrorType.WORKER),
    ("/se/grid/node", ErrorType.WORKER),
    # Said by a node; what it was refused by is the driver.
    ("connection error (", ErrorType.DRIVER),
    ("failed to execute request (", ErrorType.DRIVER),
    ("node was removed", ErrorType.WORKER),
    ("node was restarted", ErrorType.WORKER),
    ("unable to find session", ErrorType.COORDINATOR),
    ("timed out", ErrorType.TIMEOUT),
    ("timeout", ErrorType.TIMEOUT),
)


def fact_of(error: BaseException) -> ExceptionFact:
    """Return `error` as a plain value."""
    return ExceptionFact(
        mro=tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__[:-1]),
        message=_text(error)[:TEXT_LIMIT],
        origin=_origin(error.__traceback__),
    )


def is_wire_failure(fact: ExceptionFact) -> bool:
    """Return whether the connection to the driver or grid broke, rather than it answering."""
    return not _WIRE_ROOTS.isdisjoint(fact.mro)


def is_worth_keeping(fact: ExceptionFact) -> bool:
    """Return whether a command failed for a reason that may lie outside the page."""
    if is_wire_failure(fact):
        return True
    if fact.type_name == "TimeoutException":
        return any(sign in fact.message for sign in _ANSWERS_ABOUT_WAITING)
    return fact.type_name in _ANSWERS_ABOUT_SESSION


def label_of(fact: ExceptionFact) -> str:
    """Return the label of the error type that `fact` speaks for on its own."""
    if fact.type_name == COMMAND_HUNG and blamed(fact.message):
        return BLAMED[blamed(fact.message)].label
    text = fact.message.lower()
    for sign, error_type in _SIGNS:
        if sign.lower() in text:
            return error_type.label
    error_type = ErrorType.CONNECTION if is_wire_failure(fact) else ErrorType.UNKNOWN
    return error_type.label


def _text(error: BaseException) -> str:
    # Selenium appends the stack trace of the driver to str(); its `msg` is the text alone.
    message = getattr(error, "msg", None)
    return message if isinstance(message, str) else str(error)


def _origin(traceback: TracebackType | None) -> str:
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    return f"{code.co_filename}:{code.co_name}"
