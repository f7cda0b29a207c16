"""What a whole failure amounts to: chains, groups, and evidence against words."""

from __future__ import annotations

import pytest

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.classifier import BUILTIN_RULES, Diagnosis, Rule, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, ExceptionFact
from tests.core.sayings import DISCONNECTED, HEALTHY, INFRASTRUCTURE_WORDS, NOBODY_ASKED, diagnose

from .failures_of import evidence, fact, failure

PRODUCT_FAILURES = [
    fact("AssertionError", "wrong title"),
    fact("NoSuchElementException", "no such element"),
    fact("TimeoutException", "Message: ", origin="selenium/webdriver/support/wait.py:until"),
    fact("JavascriptException", "javascript error: boom"),
    fact("NoAlertPresentException", "no such alert"),
    fact("Failed", "the order was lost"),
]


@pytest.mark.parametrize("said", PRODUCT_FAILURES, ids=lambda said: said.type_name)
@pytest.mark.parametrize("found", [HEALTHY, NOBODY_ASKED], ids=["healthy", "unprobed"])
def test_product_failure_in_a_healthy_browser_is_the_products(
    said: ExceptionFact, found: Evidence
) -> None:
    """Nothing but the exception speaks, and it speaks of the product."""
    assert diagnose(said, evidence=found).error_type is ErrorType.PRODUCT


@pytest.mark.parametrize("said", PRODUCT_FAILURES, ids=lambda said: said.type_name)
def test_dead_browser_outweighs_the_exceptions_usual_meaning(said: ExceptionFact) -> None:
    """A browser found dead explains whatever the test stumbled over."""
    found = evidence(browser_process="zombie", driver_process="alive")
    assert diagnose(said, evidence=found).error_type is ErrorType.BROWSER


@pytest.mark.parametrize("words", INFRASTRUCTURE_WORDS)
@pytest.mark.parametrize("name", ["AssertionError", "Failed", "NoSuchElementException", "KeyError"])
def test_words_of_infrastructure_in_the_tests_mouth_excuse_nothing(name: str, words: str) -> None:
    """What an assertion, a locator or a key quotes is not evidence."""
    found = diagnose(fact(name, f"assert title != {words!r}"), evidence=HEALTHY)
    assert not found.error_type.infrastructure


@pytest.mark.parametrize("words", INFRASTRUCTURE_WORDS)
@pytest.mark.parametrize(
    "name",
    ["JavascriptException", "UnexpectedAlertPresentException", "ElementClickInterceptedException"],
)
def test_words_of_infrastructure_on_the_page_excuse_nothing(name: str, words: str) -> None:
    """A page may say what it likes in its errors, alerts and markup."""
    assert not diagnose(fact(name, words)).error_type.infrastructure


@pytest.mark.parametrize("words", INFRASTRUCTURE_WORDS)
def test_words_of_infrastructure_in_a_waits_own_message_excuse_nothing(words: str) -> None:
    """The message of a wait is the test's."""
    wait = fact("TimeoutException", words, origin="selenium/webdriver/support/wait.py:until")
    assert diagnose(wait, evidence=HEALTHY).error_type is ErrorType.PRODUCT


@pytest.mark.parametrize(
    "name", ["ConnectionRefusedError", "ConnectionError", "TimeoutError", "OSError"]
)
def test_socket_errors_of_the_test_itself_are_not_infrastructure(name: str) -> None:
    """A test that talks to its application over a socket of its own is not excused."""
    found = diagnose(fact(name, "[Errno 111] Connection refused"))
    assert not found.error_type.infrastructure


def test_another_http_clients_trouble_is_not_the_drivers() -> None:
    """requests uses urllib3 as well, but what it cannot reach is the application."""
    chain = (
        fact("requests.exceptions.ConnectionError", "HTTPConnectionPool(host='app', port=80)"),
        fact("urllib3.MaxRetryError", "Max retries exceeded with url: /api/orders", "context"),
        fact("urllib3.NewConnectionError", "[Errno 111] Connection refused", "cause"),
        fact("ConnectionRefusedError", "[Errno 111] Connection refused", "cause"),
    )
    assert not diagnose(*chain, evidence=HEALTHY).error_type.infrastructure


def test_urllib3_request_that_is_not_a_webdriver_one_is_not_the_drivers() -> None:
    """The path of the request tells whom it was meant for."""
    said = fact("urllib3.MaxRetryError", "Max retries exceeded with url: /api/orders (Caused by x)")
    assert not diagnose(said, evidence=HEALTHY).error_type.infrastructure


CAUSES: dict[str, tuple[ExceptionFact, ErrorType]] = {
    "disconnected": (fact("InvalidSessionIdException", DISCONNECTED), ErrorType.BROWSER),
    "tab-crashed": (fact("WebDriverException", "Message: tab crashed"), ErrorType.BROWSER),
    "queue": (
        fact("SessionNotCreatedException", "New session request timed out"),
        ErrorType.COORDINATOR,
    ),
    "offline": (
        fact("WebDriverException", "unknown error: net::ERR_INTERNET_DISCONNECTED"),
        ErrorType.NETWORK,
    ),
}
each_cause = pytest.mark.parametrize(("said", "expected"), CAUSES.values(), ids=CAUSES)


def related(said: ExceptionFact, relation: str) -> ExceptionFact:
    return ExceptionFact(said.mro, said.message, relation, said.origin)


@each_cause
@pytest.mark.parametrize("relation", ["cause", "context"])
@pytest.mark.parametrize(
    "wrapper", ["AssertionError", "RuntimeError", "myframework.UIError", "KeyError"]
)
def test_strong_cause_below_a_wrapper_counts(
    wrapper: str, relation: str, said: ExceptionFact, expected: ErrorType
) -> None:
    """Whatever a framework wraps it in, the browser's own words decide."""
    chain = (fact(wrapper, "page object failed"), related(said, relation))
    assert diagnose(*chain).error_type is expected


@each_cause
@pytest.mark.parametrize("depth", [1, 5, 40])
def test_cause_counts_at_any_depth(depth: int, said: ExceptionFact, expected: ErrorType) -> None:
    """Forty wrappers do not hide what is below them."""
    wrappers = [fact("myframework.UIError", "again", "cause") for _ in range(depth)]
    assert diagnose(*wrappers, related(said, "cause")).error_type is expected


WEAK = fact(
    "urllib3.ProtocolError",
    "('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))",
)


def test_weak_signature_counts_as_stated_cause_of_an_assertion() -> None:
    """`raise AssertionError from` the wire's error says what it came from."""
    found = diagnose(fact("AssertionError", "no page"), related(WEAK, "cause"))
    assert found.error_type is ErrorType.CONNECTION


def test_weak_signature_beside_an_assertion_counts_for_nothing() -> None:
    """An assertion made while a broken connection was being handled is still one."""
    found = diagnose(fact("AssertionError", "no page"), related(WEAK, "context"))
    assert found.error_type is ErrorType.PRODUCT


@pytest.mark.parametrize("relation", ["cause", "context"])
@pytest.mark.parametrize(
    "later",
    [
        fact("ConnectionError", "could not report the failure"),
        fact("ConnectionRefusedError", "[Errno 111] Connection refused"),
        fact("OSError", "[Errno 28] No space left on device"),
        WEAK,
    ],
    ids=["connection", "refused", "disk-full", "wire"],
)
def test_assertion_is_not_excused_by_what_went_wrong_later(
    later: ExceptionFact, relation: str
) -> None:
    """`except AssertionError: raise ConnectionError` stays a failed assertion."""
    chain = (later, fact("AssertionError", "wrong title", relation))
    assert diagnose(*chain).error_type is ErrorType.PRODUCT


def test_assertion_is_not_excused_by_a_quit_that_failed() -> None:
    """`try: assert … finally: driver.quit()` with a browser that dies in quit."""
    chain = (
        fact("InvalidSessionIdException", DISCONNECTED),
        fact("AssertionError", "wrong title", "context"),
    )
    assert diagnose(*chain, command="quit").error_type is ErrorType.PRODUCT


@pytest.mark.parametrize("command", ["refresh", "screenshot", "deleteAllCookies", ""])
@pytest.mark.parametrize("relation", ["context", "cause"])
def test_crash_after_a_failed_assertion_excuses_nothing(command: str, relation: str) -> None:
    """Whatever was done then, to look or to leave: the test had failed already."""
    chain = (
        fact("InvalidSessionIdException", DISCONNECTED),
        fact("AssertionError", "wrong title", relation),
    )
    assert diagnose(*chain, command=command).error_type is ErrorType.PRODUCT


def test_crash_before_a_failed_assertion_still_counts() -> None:
    """Also where leaving the browser fails after both."""
    chain = (
        fact("WebDriverException", "unknown error"),
        fact("AssertionError", "no page", "context"),
        fact("InvalidSessionIdException", DISCONNECTED, "cause"),
    )
    assert diagnose(*chain, command="quit").error_type is ErrorType.BROWSER


def group(*members: ExceptionFact) -> tuple[ExceptionFact, ...]:
    return (fact("exceptiongroup.ExceptionGroup", "two errors"), *members)


def test_product_member_makes_the_group_the_products() -> None:
    """One failed assertion among crashes is a failed assertion."""
    crash = fact("WebDriverException", "tab crashed", "member")
    assertion = fact("AssertionError", "wrong title", "member")
    assert diagnose(*group(crash, assertion)).error_type is ErrorType.PRODUCT
    assert diagnose(*group(assertion, crash)).error_type is ErrorType.PRODUCT


def test_group_of_crashes_is_infrastructure() -> None:
    """Where every member is infrastructure, so is the group."""
    crash = fact("WebDriverException", "tab crashed", "member")
    assert diagnose(*group(crash, crash)).error_type is ErrorType.BROWSER


def test_a_member_that_nothing_explains_makes_the_group_final() -> None:
    """It may be the product's; the group itself says nothing."""
    crash = fact("WebDriverException", "tab crashed", "member")
    own = fact("acme.OrderLost", "order 4", "member")
    assert diagnose(*group(crash, own)).error_type is ErrorType.UNKNOWN
    assert diagnose(*group(own, crash)).error_type is ErrorType.UNKNOWN


def test_member_counts_with_its_own_causes() -> None:
    """What a member was raised from belongs to it."""
    assertion = fact("AssertionError", "no page", "member")
    crash = fact("WebDriverException", "tab crashed", "cause")
    assert diagnose(*group(assertion, crash)).error_type is ErrorType.BROWSER


def test_quit_session_does_not_excuse_a_later_assertion() -> None:
    """`driver.quit(); assert title == …` finds both processes gone, as it should be."""
    found = evidence(browser_process="gone", driver_process="gone")
    assert diagnose(fact("AssertionError", "x"), evidence=found).error_type is ErrorType.PRODUCT


def test_session_closed_by_the_test_does_not_excuse_a_later_assertion() -> None:
    """A browser that the test closed is not a browser that died."""
    found = evidence(browser_process="gone", driver_process="alive", latch=ev.CLOSED)
    assert diagnose(fact("AssertionError", "x"), evidence=found).error_type is ErrorType.PRODUCT


@pytest.mark.parametrize("name", ["NameError", "ModuleNotFoundError", "InvalidSelectorException"])
def test_dead_browser_does_not_excuse_what_no_browser_can_cause(name: str) -> None:
    """A misspelt name is misspelt in any browser."""
    found = evidence(browser_process="zombie", session="silent", page="error_page")
    assert diagnose(fact(name, "x"), evidence=found).error_type is ErrorType.TEST_CODE


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("ok", ErrorType.NETWORK),
        ("refused", ErrorType.PAGE),
        ("silent", ErrorType.PAGE),
        ("vanished", ErrorType.PAGE),
        ("unasked", ErrorType.PAGE),
    ],
)
def test_refused_page_is_the_applications_unless_we_can_reach_it(
    target: str, expected: ErrorType
) -> None:
    """Our own request to the same server tells the browser's network from the application."""
    refused = fact("WebDriverException", "unknown error: net::ERR_CONNECTION_REFUSED")
    found = evidence(session="ok", target=target)
    assert diagnose(refused, evidence=found).error_type is expected


def test_server_that_vanished_is_worth_waiting_for() -> None:
    """Only an application that was up before may come back."""
    refused = fact("WebDriverException", "unknown error: net::ERR_CONNECTION_REFUSED")
    assert diagnose(refused, evidence=evidence(target="vanished")).recovery == "delayed_retry"
    assert diagnose(refused, evidence=evidence(target="refused")).recovery == "none"


def test_wrong_version_is_never_retried() -> None:
    """No repetition makes two versions fit."""
    said = fact(
        "SessionNotCreatedException",
        "session not created: This version of ChromeDriver only supports Chrome version 99",
    )
    found = diagnose(said)
    assert (found.error_type, found.recovery) == (ErrorType.SYSTEM, "escalate")


def test_unprobed_diagnosis_is_less_certain() -> None:
    """The same words are worth more where the evidence was looked at."""
    said = fact("WebDriverException", "Message: tab crashed")
    probed = diagnose(said, evidence=evidence(driver_process="alive"))
    assert diagnose(said).confidence < probed.confidence


def test_own_rules_are_asked_in_their_order() -> None:
    """A user's rule put before the built-in ones decides."""
    rule = Rule(
        name="payment-sandbox",
        error_type=ErrorType.TASK,
        message="sandbox is being reset",
        severity=ErrorSeverity.INFO,
        recovery="delayed_retry",
    )
    said = fact("shop.PaymentError", "the Sandbox is being reset")
    found = classify(failure(said), HEALTHY, (rule, *BUILTIN_RULES))
    assert found == Diagnosis(
        ErrorType.TASK, 0.8, "payment-sandbox", ErrorSeverity.INFO, "delayed_retry"
    )


def test_no_rules_at_all_is_unknown() -> None:
    """Without rules nothing is known, and that is said."""
    found = classify(failure(fact("AssertionError")), HEALTHY, ())
    assert (found.error_type, found.rule) == (ErrorType.UNKNOWN, "nothing-matched")


def test_empty_chain_is_diagnosed_by_evidence_alone() -> None:
    """A failure without an exception still has a browser that died."""
    assert diagnose().error_type is ErrorType.UNKNOWN
    assert diagnose(evidence=evidence(driver_process="zombie")).error_type is ErrorType.DRIVER
