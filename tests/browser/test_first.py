"""The question a session is sent as soon as its test has failed, and what its answer is worth."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    UnexpectedAlertPresentException,
    WebDriverException,
)
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

from pytest_resilience.browser import first, probes, processes, view
from pytest_resilience.browser.first import Asked
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ExceptionFact

PAGE = "data:text/html,<title>shop</title><p id=p>hello"
OTHER_PAGE = "data:text/html,<title>bank</title>"
#: Seconds for an answer, on a machine that does much else.
LIMIT_S = 60.0
LONG_AGO_S = 3600.0
Chrome = Callable[..., webdriver.Chrome]


def session_with(*, seconds_ago: float = 0, **facts: Any) -> DriverSession:
    """Return a session whose last command found an element, so many seconds ago."""
    given = {
        "browser": "chrome",
        "last_command": "findElement",
        "commands": 3,
        "in_flight_since": time.monotonic() - seconds_ago,
        **facts,
    }
    return DriverSession(
        session_id="mine",
        browser_version="1",
        endpoint="http://127.0.0.1:9",
        remote=given.pop("remote", False),
        wire=given.pop("wire", Wire("http://127.0.0.1:9")),
        requested=given.pop("requested", {}),
        capabilities=given.pop("capabilities", {}),
        **given,
    )


class TestNoAlertIsOpen:
    """Only a command that an alert would have made fail shows that there was none."""

    @pytest.mark.parametrize("command", ["findElement", "getTitle", "getElementText"])
    def test_what_has_just_been_seen_shows_it(self, command: str) -> None:
        assert first.no_alert_is_open(session_with(last_command=command))

    @pytest.mark.parametrize(
        "facts",
        [
            {"last_command": "w3cExecuteScript"},
            {"last_command": "clickElement"},
            {"last_command": "get"},
            {"last_command": "w3cGetAlertText"},
            {"last_command": "w3cGetWindowHandles"},
            {"last_command": "screenshot"},
            {"last_command": ""},
            {"seconds_ago": LONG_AGO_S},
            {"browser": "internet explorer"},
        ],
        ids=lambda facts: "-".join(f"{name}-{value}" for name, value in facts.items()),
    )
    def test_anything_else_does_not(self, facts: dict[str, Any]) -> None:
        assert not first.no_alert_is_open(session_with(**facts))

    @pytest.mark.parametrize(
        ("error", "number", "shown"),
        [
            ("NoSuchElementException", 3, True),
            ("StaleElementReferenceException", 3, True),
            ("UnexpectedAlertPresentException", 3, False),
            ("WebDriverException", 3, False),
            ("UnexpectedAlertPresentException", 2, True),
        ],
    )
    def test_a_failed_one_shows_it_if_the_page_was_looked_at(
        self, error: str, number: int, shown: bool
    ) -> None:
        session = session_with()
        session.care.last_error = number, error
        assert first.no_alert_is_open(session) is shown


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, what a test has just done was done a moment ago."""
    monkeypatch.setattr(first, "_NO_ALERT_S", LONG_AGO_S / 2)
    monkeypatch.setattr(first, "_CONNECT_S", LIMIT_S)
    monkeypatch.setattr(view, "_CONNECT_S", LIMIT_S)
    monkeypatch.setattr(probes, "STATUS_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(probes, "SESSION_LIMIT_S", LIMIT_S)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and notes none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


class TestWhoIsAsked:
    """A session that cannot answer, or must not be asked, is sent nothing."""

    def test_one_that_is_idle_and_lives_is(self, deaf_port: int) -> None:
        session = session_with(wire=Wire(f"http://127.0.0.1:{deaf_port}"))
        asked = Asked([session], limit_s=0.1)
        assert asked.of(session) is not None
        asked.forget()

    @pytest.mark.parametrize(
        "facts",
        [
            {"in_flight": "get"},
            {"closed": True},
            {"discarded": True},
            {"quitting": True},
            {"remote": True},
            {"first_failure": ExceptionFact(("WebDriverException",), "tab crashed")},
            {"driver_process": processes.ProcessId(os.getpid(), 0.0)},
        ],
        ids=lambda facts: next(iter(facts)),
    )
    def test_any_other_is_not(self, deaf_port: int, facts: dict[str, Any]) -> None:
        session = session_with(wire=Wire(f"http://127.0.0.1:{deaf_port}"), **facts)
        assert Asked([session], limit_s=0.1).of(session) is None

    def test_nor_one_whose_driver_takes_no_connection(self) -> None:
        session = session_with()
        assert Asked([session], limit_s=0.1).of(session) is None

    def test_what_is_forgotten_leaves_no_thread_for_long(self, deaf_port: int) -> None:
        session = session_with(
            last_command="clickElement", wire=Wire(f"http://127.0.0.1:{deaf_port}")
        )
        Asked([session], limit_s=0.1).forget()
        left = [t for t in threading.enumerate() if t.name == "resilience-first"]
        for thread in left:
            thread.join(LIMIT_S)
        assert not any(thread.is_alive() for thread in left)


@pytest.mark.browser
class TestInABrowser:
    """The answers are those of the moment at which was asked, and change nothing."""

    def test_the_evidence_is_that_of_a_session_asked_late(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        driver, session = opened(chrome, registry)
        for look in (lambda: driver.title, lambda: driver.execute_script("return 1")):
            look()
            early = evidence_of(session, asked(session))
            late = evidence_of(session)
            assert told(early) == told(late)
            assert dict(told(early))["page"] == ("ok", PAGE)

    def test_an_alert_that_a_script_has_opened_stays_open(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        driver, session = opened(chrome, registry)
        assert driver.title
        driver.execute_script("alert('mind the gap')")
        evidence = evidence_of(session, asked(session))
        assert evidence.detail("session") == "alert open: mind the gap"
        assert evidence.answer("page") == "unasked"
        assert driver.switch_to.alert.text == "mind the gap"

    def test_the_next_alert_of_a_page_stays_open_too(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        """The driver closed the first one, and said so with an error."""
        driver, session = opened(chrome, registry)
        driver.execute_script("setTimeout(() => { alert('one'); alert('two') }, 0)")
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            try:
                driver.find_element("id", "p")
            except UnexpectedAlertPresentException:
                break
        assert not first.no_alert_is_open(session)
        while evidence_of(session, asked(session)).detail("session") != "alert open: two":
            assert time.monotonic() < deadline, "the second alert was closed"
        assert driver.switch_to.alert.text == "two"

    def test_a_command_sent_in_between_is_carried_out(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        """As by a hook that takes a picture of each failure, or leaves the page."""
        driver, session = opened(chrome, registry)
        for look in (lambda: driver.title, lambda: driver.execute_script("return 1")):
            driver.get(PAGE)
            look()
            questions = asked(session)
            assert driver.get_screenshot_as_png().startswith(b"\x89PNG")
            driver.get(OTHER_PAGE)
            assert dict(told(evidence_of(session, questions)))["session"] == ("ok", "")
            assert driver.title == "bank"

    def test_a_page_that_was_asked_at_once_is_that_of_the_failure(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        driver, session = opened(chrome, registry)
        with pytest.raises(NoSuchElementException):
            driver.find_element("id", "missing")
        questions = asked(session)
        driver.get(OTHER_PAGE)
        assert evidence_of(session, questions).detail("page") == PAGE

    def test_a_browser_that_dies_in_between_is_found_dead(
        self, chrome: Chrome, registry: SessionRegistry, eventually: Callable[..., bool]
    ) -> None:
        driver, session = opened(chrome, registry)
        assert driver.title
        questions = asked(session)
        assert session.browser_pid is not None
        assert session.browser_process is not None
        os.kill(session.browser_pid, signal.SIGKILL)
        browser = session.browser_process
        assert eventually(lambda: processes.state(browser) in ("gone", "zombie"))
        evidence = evidence_of(session, questions)
        assert evidence.answer("browser_process") in ("gone", "zombie")
        assert evidence.answer("page") == "unasked"
        assert probes.broken(evidence)

    def test_a_tab_that_crashes_in_between_is_found_crashed(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        """What a command meets after the question counts for more than the answer to it."""
        driver, session = opened(chrome, registry)
        assert driver.title
        questions = asked(session)
        with pytest.raises(WebDriverException):
            driver.get("chrome://crash")
        evidence = evidence_of(session, questions)
        assert evidence.answer("session") == "crashed"
        assert evidence.answer("page") == "unasked"

    @pytest.mark.parametrize("name", ["driver", "browser"])
    def test_a_stopped_process_is_sent_nothing(
        self,
        chrome: Chrome,
        registry: SessionRegistry,
        eventually: Callable[..., bool],
        name: str,
    ) -> None:
        driver, session = opened(chrome, registry)
        assert driver.title
        process = session.driver_process if name == "driver" else session.browser_process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            assert eventually(lambda: processes.state(process) == "stopped")
            questions = Asked([session], limit_s=LIMIT_S)
            assert questions.of(session) is None
            assert evidence_of(session, questions).answer(f"{name}_process") == "stopped"
        finally:
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.browser
def test_a_firefox_is_asked_in_the_same_way(
    firefox: Callable[[], webdriver.Firefox], registry: SessionRegistry
) -> None:
    """Its page answers; and an alert stays open."""
    driver = firefox()
    driver.get(PAGE)
    session = registry.session_of(driver)
    assert session is not None
    assert driver.title
    assert evidence_of(session, asked(session)).answer("page") == "ok"
    driver.execute_script("setTimeout(() => alert('mind the gap'), 0)")
    WebDriverWait(driver, 30).until(expected_conditions.alert_is_present())
    evidence = evidence_of(session, asked(session))
    assert evidence.detail("session") == "alert open: mind the gap"
    assert driver.switch_to.alert.text == "mind the gap"


def opened(chrome: Chrome, registry: SessionRegistry) -> tuple[webdriver.Chrome, DriverSession]:
    driver = chrome()
    driver.get(PAGE)
    session = registry.session_of(driver)
    assert session is not None
    return driver, session


def asked(session: DriverSession) -> Asked:
    questions = Asked([session], limit_s=LIMIT_S)
    assert questions.of(session) is not None
    return questions


def evidence_of(session: DriverSession, questions: Asked | None = None) -> Evidence:
    """Return what is found out about `session`, and forget what was asked and not read."""
    question = questions.of(session) if questions is not None else None
    evidence = Evidence(probes.probe(session, deadline_s=LIMIT_S, asked=question))
    if questions is not None:
        questions.forget()
    return evidence


def told(evidence: Evidence) -> list[tuple[str, tuple[str, str]]]:
    return [(result.probe, (result.answer, result.detail)) for result in evidence]
