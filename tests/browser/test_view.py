"""The page a session is at, seen past its driver: what is looked at, and when nothing is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    InvalidSessionIdException,
    NoSuchElementException,
    NoSuchWindowException,
    TimeoutException,
    UnexpectedAlertPresentException,
    WebDriverException,
)
from urllib3.exceptions import ReadTimeoutError

from pytest_resilience.browser import first, probes, view
from pytest_resilience.browser.devtools import Devtools
from pytest_resilience.browser.first import Asked
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.view import Glance, View
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.failures import ExceptionFact
from tests import ports
from tests.browser.test_first import asked, evidence_of, opened, session_with

SCRIPT = "return document.title"
FRAMED = "data:text/html,<title>shop</title><iframe id=f srcdoc='<p id=inner>'></iframe>"
#: Seconds for an answer, on a machine that does much else.
LIMIT_S = 60.0
LONG_AGO_S = 3600.0
Chrome = Callable[..., webdriver.Chrome]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, what a test has just done was done a moment ago."""
    monkeypatch.setattr(view, "_FRESH_S", LONG_AGO_S / 2)
    monkeypatch.setattr(view, "_CONNECT_S", LIMIT_S)
    monkeypatch.setattr(view, "_ANSWER_S", LIMIT_S)
    monkeypatch.setattr(first, "_CONNECT_S", LIMIT_S)
    monkeypatch.setattr(probes, "STATUS_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(probes, "SESSION_LIMIT_S", LIMIT_S)


def seen(session: DriverSession) -> Any:
    """Return the title of the page that is seen, None if none is."""
    glance = session.care.view.ask(session, SCRIPT)
    return glance.answer().value if glance is not None else None


class Socket:
    """Says what it was given, whatever it is asked, and then nothing more."""

    def __init__(self, *said: object) -> None:
        self.left = list(said)
        self.closed = False

    def send(self, _text: str) -> None:
        pass

    def settimeout(self, _seconds: float) -> None:
        pass

    def recv(self) -> str:
        if not self.left:
            raise TimeoutError("timed out")
        return json.dumps(self.left.pop(0))

    def shutdown(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("said", "good"),
    [
        pytest.param({"result": {"result": {"value": 7}}}, True, id="value"),
        pytest.param(
            {"result": {"result": {}, "exceptionDetails": {"text": "Uncaught"}}}, False, id="throws"
        ),
        pytest.param({"error": {"code": -32000, "message": "no context"}}, False, id="refused"),
        pytest.param({"result": {}}, False, id="something-else"),
    ],
)
def test_only_a_value_is_a_good_answer(said: dict[str, Any], good: bool) -> None:
    devtools = Devtools(Socket({"method": "Inspector.detached"}, {"id": 1, **said}))
    reply = Glance(View(), devtools, devtools.send("Runtime.evaluate")).answer()
    assert reply.good is good
    assert (reply.value == 7) is good


def test_what_does_not_answer_is_asked_on_a_new_connection_next_time() -> None:
    socket, session = Socket(), session_with()
    looking = session.care.view
    looking._devtools = Devtools(socket)
    glance = looking.ask(session, SCRIPT)
    assert glance is not None
    assert not glance.answer().good
    assert socket.closed


def test_who_says_much_else_is_not_listened_to_for_ever() -> None:
    socket = Socket(*({"method": "Page.lifecycleEvent"} for _ in range(100)))
    devtools = Devtools(socket)
    with pytest.raises(TimeoutError):
        devtools.answer(devtools.send("Runtime.evaluate"), limit_s=0)
    assert len(socket.left) == 99


class TestWhoIsLookedAt:
    """Only a session whose driver has just answered; the view says nothing of the driver."""

    @pytest.mark.parametrize(
        ("facts", "looked_at"),
        [
            ({}, True),
            ({"seconds_ago": LONG_AGO_S}, False),
            ({"remote": True}, False),
            ({"requested": None}, False),
        ],
        ids=["just-now", "long-ago", "remote", "taken-over"],
    )
    def test_the_driver_has_just_answered(self, facts: dict[str, Any], looked_at: bool) -> None:
        session = session_with(**facts)
        session.care.view._devtools = Devtools(Socket())
        assert (session.care.view.ask(session, SCRIPT) is not None) is looked_at

    def test_a_slow_command_counts_from_its_answer(self) -> None:
        session = session_with(seconds_ago=LONG_AGO_S)
        session.care.view._devtools = Devtools(Socket())
        session.care.took("clickElement", LONG_AGO_S, time.monotonic())
        assert session.care.view.ask(session, SCRIPT) is not None

    @pytest.mark.parametrize(
        ("error", "looked_at"),
        [
            (NoSuchElementException("no such element"), True),
            (TimeoutException("script timeout"), True),
            (WebDriverException("unknown error: net::ERR_CONNECTION_REFUSED"), True),
            (UnexpectedAlertPresentException("unexpected alert open"), False),
            (WebDriverException("disconnected: not connected to DevTools"), False),
            (InvalidSessionIdException("invalid session id"), False),
            (ReadTimeoutError(None, "/", "Read timed out."), False),
            (ConnectionResetError("Connection reset by peer"), False),
            (pytest.fail.Exception("Timeout >1.0s"), False),
            (KeyboardInterrupt(), False),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
    )
    def test_it_may_have_answered_with_an_error_if_that_shows_that_it_works(
        self, error: BaseException, looked_at: bool
    ) -> None:
        session = session_with()
        session.care.view._devtools = Devtools(Socket())
        session.care.raised(session, error)
        assert (session.care.view.ask(session, SCRIPT) is not None) is looked_at
        session.commands += 1
        assert session.care.view.ask(session, SCRIPT) is not None

    @pytest.mark.parametrize("command", ["switchToFrame", "switchToWindow", "close"])
    def test_after_a_move_of_which_nobody_knows_not_until_the_next_one(self, command: str) -> None:
        session, socket = session_with(last_command=command), Socket()
        session.care.view._devtools = Devtools(socket)
        session.care.raised(session, ReadTimeoutError(None, "/", "Read timed out."))
        assert socket.closed
        session.commands += 1
        assert not session.care.view.can_see(session)
        session.care.view.moved("get", {"url": "http://shop"})
        assert session.care.view.can_see(session)

    def test_one_that_is_busy_is_not(self) -> None:
        session = session_with(in_flight="get")
        session.care.view._devtools = Devtools(Socket())
        assert session.care.view.ask(session, SCRIPT) is None

    def test_a_browser_without_devtools_is_not(self) -> None:
        session = session_with()
        assert session.care.view.ask(session, SCRIPT) is None

    def test_one_that_moves_on_while_the_way_is_opened_is_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The way would lead to the window it was at."""
        options = {"debuggerAddress": "127.0.0.1:1"}
        session = session_with(capabilities={"goog:chromeOptions": options})
        session.care.view.moved("switchToWindow", {"handle": "one"})
        socket = Socket({"id": 1, "result": {"result": {"value": 7}}})

        def at(_cls: type[Devtools], url: str, **_more: object) -> Devtools:
            assert url.endswith("/one")
            session.care.view.moved("switchToWindow", {"handle": "two"})
            return Devtools(socket)

        monkeypatch.setattr(Devtools, "at", classmethod(at))
        assert session.care.view.ask(session, SCRIPT) is None
        assert socket.closed
        assert not session.care.view.is_open

    def test_who_opens_the_way_second_leaves_it_to_the_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = {"debuggerAddress": "127.0.0.1:1"}
        session = session_with(capabilities={"goog:chromeOptions": options})
        looking = session.care.view
        looking.moved("switchToWindow", {"handle": "one"})
        late, early = Socket(), Socket()

        def at(_cls: type[Devtools], _url: str, **_more: object) -> Devtools:
            looking._devtools = Devtools(early)
            return Devtools(late)

        monkeypatch.setattr(Devtools, "at", classmethod(at))
        assert looking.ask(session, SCRIPT) is None
        assert late.closed
        assert not early.closed
        assert looking.is_open


@pytest.mark.browser
class TestInABrowser:
    """What is seen is the window and the document of the test."""

    def test_the_driver_is_asked_nothing_once_the_way_is_known(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        _driver, session = opened(chrome, registry)
        assert seen(session) == "shop"
        wire = session.wire
        with ports.closed_port() as port:
            session.wire = Wire(f"http://127.0.0.1:{port}")
            evidence = evidence_of(session, asked(session))
        session.wire = wire
        assert (evidence.answer("session"), evidence.answer("page")) == ("ok", "ok")

    def test_a_driver_that_has_not_answered_is_asked_itself(
        self, chrome: Chrome, registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its page may be well while a script keeps the driver waiting."""
        driver, session = opened(chrome, registry)
        assert seen(session) == "shop"
        driver.set_script_timeout(LIMIT_S)
        monkeypatch.setattr(driver.command_executor.client_config, "timeout", 0.5)
        with pytest.raises(ReadTimeoutError):
            driver.execute_async_script("/* never calls back */")
        # As after a failure that was none of the session, and of which it has not recovered.
        session.first_failure = ExceptionFact(("NoSuchWindowException",), "no such window")
        monkeypatch.setattr(probes, "STATUS_LIMIT_S", 0.5)
        monkeypatch.setattr(probes, "SESSION_LIMIT_S", 0.5)
        evidence = evidence_of(session, Asked([session], limit_s=0.5))
        assert evidence.answer("session") == "silent"

    def test_no_proxy_comes_between(
        self, chrome: Chrome, registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _driver, session = opened(chrome, registry)
        assert session.wire.ask("GET", "/status", limit_s=LIMIT_S).good
        with ports.closed_port() as port:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("NO_PROXY", "")
            assert seen(session) == "shop"

    def test_it_is_the_window_the_test_is_at(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        driver, session = opened(chrome, registry)
        shop = driver.current_window_handle
        assert seen(session) == "shop"
        driver.switch_to.new_window("tab")
        driver.get("data:text/html,<title>bank</title>")
        assert seen(session) == "bank"
        driver.switch_to.window(shop)
        assert seen(session) == "shop"

    def test_in_a_frame_nothing_is_seen(self, chrome: Chrome, registry: SessionRegistry) -> None:
        driver, session = opened(chrome, registry)
        driver.get(FRAMED)
        driver.switch_to.frame("f")
        assert driver.find_element("id", "inner")
        assert seen(session) is None
        driver.switch_to.default_content()
        assert seen(session) == "shop"
        driver.switch_to.frame("f")
        driver.get(FRAMED)
        assert seen(session) == "shop"

    def test_a_window_that_is_gone_is_told_by_the_driver(
        self, chrome: Chrome, registry: SessionRegistry
    ) -> None:
        driver, session = opened(chrome, registry)
        driver.switch_to.new_window("tab")
        assert seen(session) == ""
        driver.execute_script("setTimeout(() => window.close(), 0)")
        deadline = time.monotonic() + LIMIT_S
        while len(driver.window_handles) > 1:
            assert time.monotonic() < deadline, "the window was not closed"
        with pytest.raises(NoSuchWindowException):
            assert driver.title
        evidence = evidence_of(session, asked(session))
        assert evidence.answer("session") == "ok"
        assert "no such window" in evidence.detail("page")

    def test_an_alert_stays_open_and_is_told_by_the_driver(
        self, chrome: Chrome, registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        driver, session = opened(chrome, registry)
        assert seen(session) == "shop"
        driver.execute_script("setTimeout(() => alert('mind the gap'), 0)")
        deadline = time.monotonic() + LIMIT_S
        # A command that waits for no page and meets no alert.
        while not session.wire.ask(
            "GET", f"/session/{session.session_id}/alert/text", limit_s=LIMIT_S
        ).good:
            assert time.monotonic() < deadline, "no alert was opened"
        assert driver.window_handles
        monkeypatch.setattr(view, "_ANSWER_S", 0.1)
        evidence = evidence_of(session, asked(session))
        assert evidence.detail("session") == "alert open: mind the gap"
        assert driver.switch_to.alert.text == "mind the gap"

    def test_a_fork_looks_on_a_connection_of_its_own(
        self, chrome: Chrome, registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _driver, session = opened(chrome, registry)
        assert seen(session) == "shop"
        shared = session.care.view._devtools
        with monkeypatch.context() as patch:
            patch.setattr(view.os, "getpid", lambda: os.getppid())
            assert seen(session) == "shop"
        assert session.care.view._devtools is not shared

    @pytest.mark.parametrize("end", ["quit", "discard", "unwatch"])
    def test_the_connection_ends_with_the_session(
        self, chrome: Chrome, registry: SessionRegistry, end: str
    ) -> None:
        driver, session = opened(chrome, registry)
        assert seen(session) == "shop"
        {
            "quit": driver.quit,
            "discard": lambda: registry.discard(session),
            "unwatch": registry.unwatch,
        }[end]()
        assert session.care.view._devtools is None
