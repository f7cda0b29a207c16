"""Sessions of a real Chromium: how they are found, probed, ended and begun again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver.common.by import By

from pytest_resilience.browser import endings, probes, processes
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.core.evidence import Evidence
from tests.ports import closed_port

pytestmark = pytest.mark.browser

PAGE = "data:text/html,<title>shop</title><p id=p>hello"
Chrome = Callable[..., webdriver.Chrome]
Eventually = Callable[..., bool]

#: Selenium alone needs more than 150 s to quit what is frozen.
FAR_TOO_LONG_S = 120.0


def session_of(registry: SessionRegistry, driver: object) -> DriverSession:
    session = registry.session_of(driver)
    assert session is not None
    return session


def evidence_of(session: DriverSession) -> Evidence:
    return Evidence(probes.probe(session))


def send(session: DriverSession, name: str, sign: signal.Signals) -> None:
    """Send `sign` to the driver or the browser of `session`."""
    pid = session.driver_pid if name == "driver" else session.browser_pid
    assert pid is not None
    os.kill(pid, sign)


def remains(session: DriverSession) -> list[str]:
    """Name what is left of `session`: living processes, and its profile."""
    assert session.driver_process is not None
    left = [str(p.pid) for p in processes.group(session.driver_process)]
    if session.profile_dir is not None and os.path.exists(session.profile_dir):
        left.append(session.profile_dir)
    return left


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
    began = time.monotonic()
    driver.quit()
    assert time.monotonic() - began < FAR_TOO_LONG_S
    assert remains(session) == []


def test_a_quit_that_hangs_is_cut_short(chrome: Chrome, registry: SessionRegistry) -> None:
    """A page that never yields looks healthy from outside; only waiting tells."""
    registry.quit_limit_s = 1.0
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    driver.execute_script("setTimeout(() => { for (;;); }, 100); return 1")
    time.sleep(0.3)
    began = time.monotonic()
    driver.quit()
    assert time.monotonic() - began < FAR_TOO_LONG_S
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
