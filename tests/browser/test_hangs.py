"""Commands that hang on real browsers: what stopped is found and ended, what is slow is not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from urllib3.exceptions import HTTPError

from pytest_resilience.browser import hangs, latch, probes, processes
from pytest_resilience.browser.guard import Guard
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.core.classifier import classify
from pytest_resilience.core.evidence import ALIVE, Evidence
from pytest_resilience.core.failures import ErrorType, Failure
from tests.browser.chromium import PAGE, Chrome, Eventually, in_time, session_of

HANG_TIMEOUT_S = 2.0

Firefox = Callable[[], webdriver.Firefox]


@pytest.fixture
def registry(registry: SessionRegistry) -> SessionRegistry:
    """A registry with a watchdog that is in a hurry."""
    registry.guard = Guard(
        registry.living,
        monotonic=time.monotonic,
        hang_timeout_s=HANG_TIMEOUT_S,
        nest_timeouts=True,
        repeat_requests=False,
    )
    return registry


def parts(session: DriverSession, name: str) -> list[int]:
    """Return the pids of a part of the browser stack of `session`."""
    if name in ("driver", "browser"):
        pid = session.driver_pid if name == "driver" else session.browser_pid
        assert pid is not None
        return [pid]
    assert session.driver_process is not None
    family = processes.family(session.driver_process)
    return [process.pid for process in family if processes.role(process) == name]


def send(pids: list[int], sign: signal.Signals) -> None:
    assert pids
    for pid in pids:
        # One of several renderers may end by itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)


def stop(session: DriverSession, name: str) -> list[int]:
    """Stop a part of the browser stack, also what was only being started; return its pids."""
    stopped: list[int] = []
    while found := [pid for pid in parts(session, name) if pid not in stopped]:
        send(found, signal.SIGSTOP)
        stopped += found
        time.sleep(0.2)
    assert stopped
    return stopped


def hung(command: Callable[[], object]) -> hangs.CommandHung:
    """Return the error with which `command` is ended; it must come in time."""
    with in_time(), pytest.raises(hangs.CommandHung) as caught:
        command()
    assert isinstance(caught.value.__cause__, HTTPError)
    return caught.value


def diagnosis(error: BaseException, session: DriverSession, command: str = "get") -> Any:
    """Return what the classifier says of `error` with what is to be found out about `session`."""
    failure = Failure("t", "call", (latch.fact_of(error),), command=command, remote=session.remote)
    return classify(failure, Evidence(probes.probe(session)))


@contextlib.contextmanager
def page_that_waits() -> Iterator[tuple[str, Callable[[], None]]]:
    """A page whose server answers only when it is told to; yields its address and the teller."""
    server = socket.create_server(("127.0.0.1", 0))
    go = threading.Event()

    def answer(connection: socket.socket) -> None:
        # A browser opens connections in advance, and closes them unused.
        with connection, contextlib.suppress(OSError):
            if connection.recv(65536):
                go.wait(120)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n<title>late</title>")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = server.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/", go.set
    go.set()
    server.close()


# Chromium


@pytest.mark.browser
@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("browser", ErrorType.BROWSER),
        ("driver", ErrorType.DRIVER),
        ("renderer", ErrorType.BROWSER),
    ],
)
def test_what_is_stopped_ends_the_command(
    part: str, expected: ErrorType, chrome: Chrome, registry: SessionRegistry
) -> None:
    """With its name, and the same diagnosis as for a process found stopped afterwards."""
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    stop(session, part)
    error = hung(lambda: driver.get(PAGE))
    assert error.msg is not None
    assert error.msg.startswith("get: ended after ")
    assert error.msg.endswith(") is stopped [hung-command]")
    assert Evidence(session.hang_evidence).answer(f"{part}_process") == "stopped"
    found = diagnosis(error, session)
    assert (found.error_type, found.rule[:5]) == (expected, "hung-")
    # What a test does about a failure, such as taking a screenshot, ends soon as well.
    assert hung(lambda: driver.title).msg != error.msg
    reborn = registry.rebirth(session)
    assert reborn is not None
    driver.get(PAGE)
    assert driver.title == "shop"
    assert reborn.hang_evidence == ()
    driver.quit()


@pytest.mark.browser
def test_a_quit_after_a_hang_is_bounded(chrome: Chrome, registry: SessionRegistry) -> None:
    driver = chrome()
    session = session_of(registry, driver)
    send(parts(session, "browser"), signal.SIGSTOP)
    hung(lambda: driver.get(PAGE))
    with in_time():
        driver.quit()
    assert session.reaped


@pytest.mark.browser
def test_a_slow_page_is_not_a_hang(chrome: Chrome) -> None:
    """However many deadlines it outlasts."""
    driver = chrome()
    with page_that_waits() as (url, go):
        threading.Timer(4 * HANG_TIMEOUT_S, go).start()
        driver.get(url)
    assert driver.title == "late"
    driver.quit()


@pytest.mark.browser
@pytest.mark.parametrize("part", ["browser", "driver", "renderer"])
def test_a_short_pause_is_not_a_hang(
    part: str, chrome: Chrome, registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that is seen while the command is overdue."""
    # Whoever is to end the pause may come late.
    monkeypatch.setattr("pytest_resilience.browser.watchdog.CONFIRM_S", 30.0)
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    stopped = stop(session, part)
    threading.Timer(HANG_TIMEOUT_S + 0.5, lambda: send(stopped, signal.SIGCONT)).start()
    driver.get(PAGE)
    assert driver.title == "shop"
    assert session.care.hang is None
    driver.quit()


@pytest.mark.browser
def test_a_page_that_computes_is_its_own_fault(chrome: Chrome, registry: SessionRegistry) -> None:
    """The user's own time-out ends it, not we."""
    driver = chrome()
    driver.set_page_load_timeout(3 * HANG_TIMEOUT_S)
    with pytest.raises(TimeoutException):
        driver.get("data:text/html,<script>for(;;);</script>")
    assert session_of(registry, driver).care.hang is None
    registry.discard(session_of(registry, driver))


@pytest.mark.browser
def test_a_script_that_waits_is_not_a_hang(chrome: Chrome) -> None:
    driver = chrome()
    script = f"setTimeout(() => arguments[0]('done'), {3_000 * HANG_TIMEOUT_S:.0f})"
    assert driver.execute_async_script(script) == "done"
    driver.quit()


@pytest.mark.browser
def test_the_users_page_load_timeout_is_waited_for(
    chrome: Chrome, registry: SessionRegistry
) -> None:
    driver = chrome()
    driver.set_page_load_timeout(4 * HANG_TIMEOUT_S)
    send(parts(session_of(registry, driver), "browser"), signal.SIGSTOP)
    begun = time.monotonic()
    hung(lambda: driver.get(PAGE))
    assert time.monotonic() - begun >= 4 * HANG_TIMEOUT_S
    driver.quit()


@pytest.mark.browser
def test_a_browser_that_is_stopped_while_it_starts_is_no_trap(
    registry: SessionRegistry,
    chrome_options: Callable[..., Options],
    chrome_service: Callable[..., Service],
    tmp_path: Path,
) -> None:
    """The start is ended like any command, and nothing is left of it."""
    options = chrome_options()
    program = tmp_path / "stops"
    program.write_text(f'#!/bin/sh\nkill -STOP $$\nexec "{options.binary_location}" "$@"\n')
    program.chmod(0o755)
    options.binary_location = str(program)
    mark = registry.mark()
    with in_time(), pytest.raises(WebDriverException):
        webdriver.Chrome(options=options, service=chrome_service())
    assert "is stopped" in registry.failed_starts_since(mark - 1)[0].error.message
    assert "hung-command" in registry.failed_starts_since(mark - 1)[0].error.message


@pytest.mark.browser
def test_hangs_can_be_left_alone(
    chrome: Chrome, registry: SessionRegistry, eventually: Eventually
) -> None:
    """With no hang time-out nobody looks, and the browser may stay stopped for any time."""
    registry.guard = Guard(
        registry.living,
        monotonic=time.monotonic,
        hang_timeout_s=None,
        nest_timeouts=True,
        repeat_requests=False,
    )
    driver = chrome()
    driver.get(PAGE)
    session = session_of(registry, driver)
    # That of an earlier test may just be ending.
    assert eventually(
        lambda: not any(t.name == "resilience-watchdog" for t in threading.enumerate())
    )
    stopped = parts(session, "browser")
    send(stopped, signal.SIGSTOP)
    threading.Timer(3 * HANG_TIMEOUT_S, lambda: send(stopped, signal.SIGCONT)).start()
    driver.get(PAGE)
    assert session.care.hang is None
    driver.quit()


@pytest.mark.browser
def test_local_sessions_are_adjusted_and_told_so(chrome: Chrome, registry: SessionRegistry) -> None:
    """Selenium's own 120 s are raised only above what the user grants the driver."""
    driver = chrome()
    session = session_of(registry, driver)
    driver.get(PAGE)
    assert driver.title == "shop"
    assert session.adjustments == ["urllib3's repetition of GET and DELETE switched off"]
    driver.set_page_load_timeout(200)
    driver.get(PAGE)
    assert session.adjustments[1:] == ["client time-out raised from 120 s to 210 s"]
    driver.quit()


# Firefox


@pytest.mark.browser
@pytest.mark.parametrize(
    ("part", "expected"), [("browser", ErrorType.BROWSER), ("driver", ErrorType.DRIVER)]
)
def test_a_stopped_firefox_or_geckodriver_ends_the_command(
    part: str, expected: ErrorType, firefox: Firefox, registry: SessionRegistry
) -> None:
    driver = firefox()
    driver.get(PAGE)
    session = session_of(registry, driver)
    assert all(processes.state(p) == ALIVE for p in (session.driver_process,) if p)
    send(parts(session, part), signal.SIGSTOP)
    error = hung(lambda: driver.get(PAGE))
    found = diagnosis(error, session)
    assert (found.error_type, found.rule[:5]) == (expected, "hung-")
    driver.quit()
    assert session.reaped


@pytest.mark.browser
def test_a_slow_page_in_a_firefox_is_not_a_hang(firefox: Firefox) -> None:
    """Though its driver answers nothing at all meanwhile."""
    driver = firefox()
    with page_that_waits() as (url, go):
        threading.Timer(4 * HANG_TIMEOUT_S, go).start()
        driver.get(url)
    assert driver.title == "late"
    driver.quit()
