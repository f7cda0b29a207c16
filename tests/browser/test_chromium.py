"""Sessions of a real Chromium: how they are found and probed."""

from __future__ import annotations

import os
import signal

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver.common.by import By

from pytest_resilience.browser import probes, processes
from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.core.evidence import Evidence
from tests.browser.chromium import PAGE, Chrome, Eventually, evidence_of, remains, send, session_of
from tests.ports import closed_port

pytestmark = pytest.mark.browser


class Named(webdriver.Chrome):
    """A driver class of a user's own."""

    quits = 0

    def quit(self) -> None:
        self.quits += 1
        super().quit()


class Wrapper:
    """An object of a user's own that holds a driver."""

    def __init__(self, make: Chrome) -> None:
        self.inner = make()


def test_sessions_are_found_whoever_holds_the_driver(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    """A plain driver, one in a wrapper and one of a subclass are all seen being made."""
    owners = iter(["plain", "wrapped", "subclass"])
    registry.on_created = lambda session: setattr(session, "owner", next(owners))
    plain, wrapper, named = chrome(), Wrapper(chrome), chrome(kind=Named)
    pids = {session.browser_pid for session in registry.living()}
    assert len(pids) == 3
    assert None not in pids
    assert [s.owner for s in registry.living()] == ["plain", "wrapped", "subclass"]
    session = session_of(registry, wrapper.inner)
    assert session.driver is wrapper.inner
    assert (session.browser, session.remote) == ("chrome", False)
    for driver in (plain, wrapper.inner, named):
        driver.quit()
    assert registry.living() == []
    assert named.quits == 1


def test_a_quit_leaves_nothing_and_is_remembered(chrome: Chrome, registry: SessionRegistry) -> None:
    mark = registry.mark()
    driver = chrome()
    session = session_of(registry, driver)
    driver.quit()
    assert remains(session) == []
    assert (session.closed, session.closed_by_test, session.discarded) == (True, True, False)
    assert registry.used_since(mark) == [session]
    assert registry.used_since(registry.mark()) == []
    driver.quit()


def test_commands_are_counted_in_the_order_of_all_sessions(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    """`used_since` tells which sessions had a command after a mark."""
    before = registry.mark()
    first, second = chrome(), chrome()
    mark = registry.mark()
    first.get(PAGE)
    session = session_of(registry, first)
    assert (session.commands, session.last_command, session.in_flight) == (1, "get", "")
    assert registry.used_since(mark) == [session]
    assert before <= session.created_mark < session_of(registry, second).created_mark < mark
    registry.forget(session)
    assert registry.used_since(mark) == []
    first.quit()


def test_a_driver_made_before_watching_is_found_at_its_next_command(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    registry.unwatch()
    driver = chrome()
    registry.watch()
    assert registry.session_of(driver) is None
    driver.get(PAGE)
    session = session_of(registry, driver)
    assert (session.requested, session.profile_is_ours) == (None, False)
    assert registry.rebirth(session) is None
    driver.quit()


def test_a_healthy_session_is_asked_no_more_than_that(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    evidence = evidence_of(session)
    assert {r.probe: r.answer for r in evidence} == {
        "browser_process": "alive",
        "driver_process": "alive",
        "gpu_process": "alive",
        "session": "ok",
        "page": "ok",
    }
    assert not probes.broken(evidence)
    assert probes.is_healthy(session)
    assert session.commands == 1, "probes must not go through the user's driver"


def test_probes_leave_an_open_alert_alone(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    driver = chrome()
    driver.get(PAGE)
    driver.execute_script("setTimeout(() => alert('mind the gap'), 0)")
    session = session_of(registry, driver)
    assert eventually(lambda: "alert" in evidence_of(session).detail("session"))
    assert probes.is_healthy(session)
    assert driver.switch_to.alert.text == "mind the gap"


def test_a_killed_browser_is_gone_and_its_first_failure_is_kept(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    """Later commands of the session only say that it is invalid; the cause stays known."""
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    send(session, "browser", signal.SIGKILL)
    # The process alone is looked at: a probe of the session would be told the cause first.
    assert eventually(lambda: processes.state(session.browser_process) in ("gone", "zombie"))
    messages = []
    for _ in range(3):
        with pytest.raises(WebDriverException) as caught:
            driver.find_element(By.ID, "p")
        messages.append(caught.value.msg or "")
    assert "closed the connection" in messages[0]
    assert "closed the connection" not in messages[2]
    evidence = evidence_of(session)
    assert evidence.answer("latch") == "browser"
    assert "closed the connection" in evidence.detail("latch")
    assert evidence.answer("browser_process") in ("gone", "zombie")
    assert evidence.answer("session") == "unasked"
    assert not probes.needs_driver(evidence)
    assert not probes.is_healthy(session)


def test_a_missing_element_is_no_failure_of_the_session(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    driver = chrome()
    driver.get(PAGE)
    with pytest.raises(NoSuchElementException):
        driver.find_element(By.ID, "missing")
    assert session_of(registry, driver).first_failure is None


def test_a_failure_is_forgotten_when_the_page_answers_again(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    """A server that was unreachable once must not explain a crash much later."""
    driver = chrome()
    session = session_of(registry, driver)
    with closed_port() as port, pytest.raises(WebDriverException):
        driver.get(f"http://127.0.0.1:{port}/")
    assert evidence_of(session).answer("latch") == "network"
    assert evidence_of(session).answer("page") == "error_page"
    driver.get(PAGE)
    assert session.first_failure is None


def test_a_killed_driver_is_refused_and_its_orphans_are_ended_by_quit(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    send(session, "driver", signal.SIGKILL)
    assert eventually(lambda: probes.needs_driver(evidence_of(session)))
    assert len(remains(session)) > 2, "a browser outlives its driver"
    driver.quit()
    assert remains(session) == []


def test_a_crashed_tab_is_told_apart_from_a_dead_session(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    assert session.driver_process is not None
    for process in processes.family(session.driver_process):
        if processes.role(process) == processes.RENDERER:
            os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not probes.is_healthy(session)), "before any command failed"
    evidence = evidence_of(session)
    assert evidence.answer("session") == "crashed"
    assert (evidence.answer("browser_process"), evidence.answer("devtools")) == ("alive", "ok")
    assert probes.broken(evidence)
    assert not probes.needs_driver(evidence)


def test_a_page_that_loops_for_ever_is_busy(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    assert driver.execute_script("setTimeout(() => { for (;;); }, 300); return 1") == 1
    found: list[Evidence] = []

    def is_stuck() -> bool:
        found[:] = [evidence_of(session)]
        answers = (found[0].answer(name) for name in ("session", "renderer_process"))
        return tuple(answers) == ("silent", "busy")

    assert eventually(is_stuck), [*found[0]]
    (evidence,) = found
    assert (evidence.answer("driver_status"), evidence.answer("page")) == ("ok", "unasked")
    assert probes.broken(evidence)


# That a child is still running when its last handle goes is what the test is about.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_driver_that_was_dropped_is_no_longer_offered(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    """Nobody can use it any more, but its processes are still known."""
    import gc

    driver = chrome()
    session = session_of(registry, driver)
    del driver
    assert eventually(lambda: gc.collect() is not None and session.driver is None)
    assert registry.living() == []
    registry.discard(session)
    assert remains(session) == []
