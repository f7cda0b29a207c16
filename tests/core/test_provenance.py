"""Whose words are believed: those of drivers, and of whoever a rule of the user's names."""

from __future__ import annotations

import pytest
import urllib3
from selenium.common.exceptions import InvalidSessionIdException, WebDriverException

from pytest_resilience.core.classifier import BUILTIN_RULES, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorType, ExceptionFact, Failure
from pytest_resilience.core.provenance import all_of_driver, is_of_stack, stamp
from pytest_resilience.core.rule import Rule
from pytest_resilience.plugin.observe import exception_chain


class ApiError(Exception):
    """An exception of a suite's own."""


class ScreenshotException(Exception):  # noqa: N818 - the name is what it is about
    """One that is called like one of selenium's."""


class GroupError(Exception):
    """Some at once."""

    def __init__(self, *members: BaseException) -> None:
        super().__init__("some")
        self.exceptions = members


def stamped(error: BaseException) -> BaseException:
    stamp(error)
    return error


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def met(error: BaseException, handled: BaseException) -> BaseException:
    error.__context__ = handled
    return error


def refused() -> urllib3.exceptions.NewConnectionError:
    pool = urllib3.connection.HTTPConnection("127.0.0.1", 1)
    return urllib3.exceptions.NewConnectionError(pool, "Connection refused")


def diagnosed(error: BaseException, *rules: Rule) -> ErrorType:
    failure = Failure("test_it", "call", exception_chain(error))
    return classify(failure, Evidence(()), (*rules, *BUILTIN_RULES)).error_type


FOREIGN = [
    pytest.param(ApiError("POST /orders: 500 socket hang up"), id="words"),
    pytest.param(ApiError("the page says: tab crashed"), id="quoted-page"),
    pytest.param(ApiError("net::ERR_CONNECTION_RESET"), id="console"),
    pytest.param(ScreenshotException("differs in 3 % of its pixels"), id="name"),
    pytest.param(WebDriverException("chrome not reachable"), id="selenium-by-hand"),
    pytest.param(InvalidSessionIdException("invalid session id"), id="session-by-hand"),
    pytest.param(refused(), id="own-client"),
    pytest.param(
        urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError()),
        id="own-client-cut-off",
    ),
    pytest.param(
        met(ApiError("tab crashed"), stamped(WebDriverException("no such cookie"))),
        id="beside-a-driver's",
    ),
    pytest.param(
        met(stamped(WebDriverException("no such cookie")), refused()), id="handled-before"
    ),
]


@pytest.mark.parametrize("error", FOREIGN)
def test_nobody_but_a_driver_is_believed(error: BaseException) -> None:
    assert not diagnosed(error).infrastructure


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(stamped(WebDriverException("chrome not reachable")), id="command"),
        pytest.param(
            stamped(
                InvalidSessionIdException(
                    "session deleted as the browser has closed the connection"
                )
            ),
            id="session",
        ),
        pytest.param(stamped(refused()), id="connection"),
        pytest.param(
            caused(ApiError("no login"), stamped(WebDriverException("tab crashed"))), id="cause"
        ),
        pytest.param(
            met(ApiError("no login"), stamped(WebDriverException("tab crashed"))), id="context"
        ),
        pytest.param(
            stamped(caused(WebDriverException("it ended"), refused())), id="below-a-command"
        ),
    ],
)
def test_a_driver_is_believed(error: BaseException) -> None:
    assert diagnosed(error).infrastructure


def test_what_is_read_from_a_log_is_believed() -> None:
    fact = ExceptionFact(("acme.DeviceError", "builtins.Exception"), "tab crashed")
    failure = Failure("test_it", "call", (fact,))
    assert classify(failure, Evidence(())).error_type is ErrorType.BROWSER


@pytest.mark.parametrize(
    "rule",
    [
        Rule("by-words", ErrorType.NETWORK, message="socket hang up"),
        Rule("by-name", ErrorType.NETWORK, types=("OwnDriverError",)),
        Rule("by-base", ErrorType.NETWORK, types=("WebDriverException",)),
    ],
    ids=lambda rule: rule.name,
)
def test_a_rule_of_the_user_believes_whom_it_names(rule: Rule) -> None:
    class OwnDriverError(WebDriverException):
        """Of the suite, on the base of selenium's."""

    assert diagnosed(OwnDriverError("500 socket hang up"), rule) is ErrorType.NETWORK


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        pytest.param(stamped(WebDriverException("gone")), True, id="driver"),
        pytest.param(AssertionError("the order is still there"), False, id="assertion"),
        pytest.param(ApiError("DELETE /orders/4: 500"), False, id="own"),
        pytest.param(caused(ApiError("x"), stamped(WebDriverException("gone"))), True, id="cause"),
        pytest.param(
            GroupError(stamped(WebDriverException("gone")), ApiError("500")),
            False,
            id="one-of-two",
        ),
        pytest.param(
            GroupError(stamped(WebDriverException("gone")), stamped(WebDriverException("gone"))),
            True,
            id="both-of-two",
        ),
    ],
)
def test_a_teardown_lost_its_driver_only_if_all_of_it_did(error: BaseException, lost: bool) -> None:
    assert all_of_driver(exception_chain(error)) is lost


def test_an_exception_that_takes_no_stamp_is_none_of_a_driver() -> None:
    class SealedError(Exception):
        """Nothing can be noted on it."""

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    assert exception_chain(stamped(SealedError()))[0].of_driver is False


class SecretiveError(Exception):
    """One that answers no question about itself."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(WebDriverException("tab crashed"), True, id="driver"),
        pytest.param(refused(), True, id="wire"),
        pytest.param(ConnectionResetError(104, "reset"), True, id="socket"),
        pytest.param(stamped(ApiError("a fault that was injected")), True, id="stamped"),
        pytest.param(ApiError("no basket after a second"), False, id="own"),
        pytest.param(KeyboardInterrupt(), False, id="interrupt"),
        pytest.param(SecretiveError(), False, id="secretive"),
    ],
)
def test_what_a_command_can_raise_by_itself(error: BaseException, expected: bool) -> None:
    """Everything else has broken it off."""
    assert is_of_stack(error) is expected
