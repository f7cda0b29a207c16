"""Sessions of a real Chromium: how they are ended, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException

from pytest_resilience.browser import endings, probes, processes
from pytest_resilience.browser.sessions import SessionRegistry
from tests.browser.chromium import (
    PAGE,
    Chrome,
    Eventually,
    evidence_of,
    in_time,
    remains,
    send,
    session_of,
)

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("victim", ["browser", "driver"])
def test_quitting_a_frozen_process_is_bounded_and_leaves_nothing(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually, victim: str
) -> None:
    """Selenium alone would wait for minutes."""
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    send(session, victim, signal.SIGSTOP)
    assert eventually(lambda: evidence_of(session).answer(f"{victim}_process") == "stopped")
    assert probes.broken(evidence_of(session))
    with in_time():
        driver.quit()
    assert remains(session) == []


def test_a_quit_that_hangs_is_cut_short(chrome: Chrome, registry: SessionRegistry) -> None:
    """A page that never yields looks healthy from outside; only waiting tells."""
    registry.quit_limit_s = 1.0
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    driver.execute_script("setTimeout(() => { for (;;); }, 100); return 1")
    time.sleep(0.3)
    with in_time():
        driver.quit()
    assert remains(session) == []


def test_a_failing_quit_of_a_healthy_browser_still_raises(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    class Failing(webdriver.Chrome):
        def quit(self) -> None:
            super().quit()
            raise OSError("from the user's own quit")

    driver = chrome(kind=Failing)
    session = session_of(registry, driver)
    with pytest.raises(OSError, match="from the user's own quit"):
        driver.quit()
    assert remains(session) == []


def test_a_quit_that_keeps_the_browser_for_later_keeps_it(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    class Pooled(webdriver.Chrome):
        def quit(self) -> None:
            self.returned = True

    driver = chrome(kind=Pooled)
    driver.quit()
    session = session_of(registry, driver)
    assert probes.is_healthy(session)
    assert registry.living() == [session]
    registry.discard(session)


def test_a_profile_the_user_gave_is_kept(
    chrome: Chrome, registry: SessionRegistry, temporary: Path
) -> None:
    profile = temporary / "mine"
    driver = chrome(f"--user-data-dir={profile}")
    session = session_of(registry, driver)
    assert (session.profile_dir, session.profile_is_ours) == (str(profile), False)
    registry.discard(session)
    assert [p for p in remains(session) if p != str(profile)] == []
    assert (profile / "Default").is_dir()


@pytest.mark.parametrize("state", ["healthy", "frozen browser", "frozen driver", "dead driver"])
def test_a_discarded_session_leaves_nothing_whatever_its_state(
    chrome: Chrome, registry: SessionRegistry, temporary: Path, state: str
) -> None:
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    if state != "healthy":
        kind, victim = state.split()
        send(session, victim, signal.SIGSTOP if kind == "frozen" else signal.SIGKILL)
    registry.discard(session)
    registry.discard(session)
    assert remains(session) == []
    assert not list(temporary.rglob("Singleton*")), "its socket directory goes with it"
    assert (session.closed, session.discarded, registry.living()) == (True, True, [])
    driver.quit()


def test_what_nobody_quit_is_reaped_at_the_end(chrome: Chrome, registry: SessionRegistry) -> None:
    kept, dead = chrome(), chrome()
    sessions = [session_of(registry, kept), session_of(registry, dead)]
    send(sessions[1], "driver", signal.SIGKILL)
    assert registry.reap_all() == sessions
    assert [remains(session) for session in sessions] == [[], []]
    assert registry.reap_all() == []


def test_a_session_that_cannot_start_is_recorded_and_leaves_nothing(
    chrome: Chrome, registry: SessionRegistry, temporary: Path
) -> None:
    mark = registry.mark()
    with pytest.raises(WebDriverException):
        chrome("--user-data-dir=/proc/nowhere")
    (failed,) = registry.failed_starts_since(mark)
    assert failed.error.message
    assert failed.driver_process is not None
    assert processes.group(failed.driver_process) == ()
    assert registry.living() == []
    assert registry.failed_starts_since(registry.mark()) == []


def test_a_browser_is_in_a_group_apart_from_ours(chrome: Chrome, registry: SessionRegistry) -> None:
    """An interrupt on the terminal must reach the test runner alone, and kills must miss it."""
    driver = chrome()
    session = session_of(registry, driver)
    assert session.leads_group
    assert os.getpgid(session.browser_pid or 0) == session.driver_pid
    assert os.getpgid(0) != session.driver_pid
    assert "start_new_session" not in driver.service.popen_kw


def test_a_choice_of_the_user_about_groups_is_respected(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    driver = chrome(popen_kw={"start_new_session": False})
    session = session_of(registry, driver)
    assert not session.leads_group
    send(session, "driver", signal.SIGKILL)
    orphan = session.browser_process
    driver.quit()
    assert orphan is not None
    assert processes.state(orphan) in ("gone", "zombie")


@pytest.mark.parametrize("victim", ["browser", "driver"])
def test_an_old_driver_object_gets_a_new_browser(
    chrome: Chrome, registry: SessionRegistry, victim: str
) -> None:
    """Identity, helpers and time-outs survive; the old browser does not."""
    driver = chrome()
    driver.set_page_load_timeout(17)
    driver.implicitly_wait(0.25)
    driver.get(PAGE)
    switch_to, old = driver.switch_to, session_of(registry, driver)
    old.owner = None
    send(old, victim, signal.SIGKILL)
    new = registry.rebirth(old)
    assert new is not None
    assert session_of(registry, driver) is new is not old
    assert registry.living() == [new]
    assert new.browser_pid != old.browser_pid
    assert remains(old) == [] or old.profile_dir not in remains(old)
    driver.get(PAGE)
    assert driver.title == "shop"
    assert (driver.timeouts.page_load, driver.timeouts.implicit_wait) == (17, 0.25)
    assert driver.switch_to is switch_to
    assert switch_to.active_element.tag_name == "body"
    driver.quit()
    assert remains(new) == []


def _bound(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_a_reborn_driver_moves_when_its_port_was_taken(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    driver = chrome()
    old = session_of(registry, driver)
    port = driver.service.port
    registry.discard(old)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The port is free as soon as the killed driver's sockets are.
        assert eventually(lambda: _bound(squatter, port))
        squatter.listen()
        new = registry.rebirth(old)
        assert new is not None
        assert new.endpoint != old.endpoint
        driver.get(PAGE)
        assert driver.title == "shop"


def test_a_reborn_driver_opens_its_websockets_anew(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    class WithSockets(webdriver.Chrome):
        def start_session(self, capabilities: dict[str, Any]) -> None:
            super().start_session({**capabilities, "webSocketUrl": True})

    driver = chrome(kind=WithSockets)
    script = driver.script
    assert registry.rebirth(session_of(registry, driver)) is not None
    assert driver.script is not script
    assert driver.script.execute("() => 2 + 3")["value"] == 5
    driver.quit()


def test_a_driver_that_cannot_be_reborn_gives_none(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    driver = chrome()
    session = session_of(registry, driver)
    driver.service.path = "/nowhere/chromedriver"
    mark = registry.mark()
    assert registry.rebirth(session) is None
    assert remains(session) == []
    assert len(registry.failed_starts_since(mark)) == 1


@pytest.mark.parametrize("error", [ConnectionResetError, KeyError])
def test_only_what_our_kill_caused_is_swallowed_by_a_bounded_stop(
    error: type[Exception],
) -> None:
    """A stop that hangs on a frozen driver ends; another mistake in it stays visible."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    process = processes.identify(child.pid)
    assert process is not None

    def stop() -> None:
        child.wait()
        raise error("the other side is gone")

    def run() -> None:
        endings.bounded_stop(child, stop, limit_s=0.1)

    if error is KeyError:
        with pytest.raises(KeyError):
            run()
    else:
        run()
    assert child.returncode == -signal.SIGKILL
