"""Sessions that no local driver of ours serves: a bare chromedriver stands in for a grid."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options

from pytest_resilience.browser import probes, processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.core.evidence import Evidence
from tests.browser.chromium import in_time

pytestmark = pytest.mark.browser

Eventually = Callable[..., bool]


@pytest.fixture
def far(
    registry: SessionRegistry, chrome_service: Callable[..., Any]
) -> Iterator[tuple[str, ProcessId]]:
    """A driver somebody else started: its address and its process."""
    registry.unwatch()
    service = chrome_service(popen_kw={"start_new_session": True})
    service.start()
    registry.watch()
    process = processes.identify(service.process.pid)
    assert process is not None
    yield service.service_url, process
    processes.exterminate(lambda: processes.group(process))
    # Its end is awaited, so that `stop` does not talk to a driver that is just dying.
    service.process.wait()
    service.stop()


@pytest.fixture
def connect(
    registry: SessionRegistry, chrome_options: Callable[..., Options]
) -> Callable[[str], tuple[webdriver.Remote, DriverSession]]:
    """Return a function that starts a session at an address."""

    def start(url: str) -> tuple[webdriver.Remote, DriverSession]:
        driver = webdriver.Remote(url, options=chrome_options())
        session = registry.session_of(driver)
        assert session is not None
        return driver, session

    return start


Connect = Callable[[str], "tuple[webdriver.Remote, DriverSession]"]
Far = tuple[str, ProcessId]


def browsers(far: ProcessId) -> list[ProcessId]:
    return [p for p in processes.family(far)[1:] if processes.state(p) == "alive"]


def test_a_remote_session_is_probed_over_the_wire_alone(far: Far, connect: Connect) -> None:
    driver, session = connect(far[0])
    driver.get("data:text/html,<p>hello")
    assert (session.remote, session.driver_pid, session.browser_pid) == (True, None, None)
    assert not session.profile_is_ours
    found = {r.probe: r.answer for r in probes.probe(session)}
    assert found == {"grid": "ok", "session": "ok", "page": "ok"}
    assert probes.is_healthy(session)
    driver.quit()
    assert session.reaped


def test_a_discarded_remote_session_frees_its_slot(
    far: Far, connect: Connect, registry: SessionRegistry, eventually: Eventually
) -> None:
    """And the quit of the test's own teardown finds nothing, without complaint."""
    driver, session = connect(far[0])
    registry.discard(session)
    assert eventually(lambda: not browsers(far[1]))
    driver.quit()
    assert registry.living() == []


def test_a_remote_driver_object_gets_a_new_session(
    far: Far, connect: Connect, registry: SessionRegistry
) -> None:
    driver, old = connect(far[0])
    driver.set_script_timeout(7)
    browser = next(p for p in browsers(far[1]) if not processes.role(p))
    os.kill(browser.pid, signal.SIGKILL)
    new = registry.rebirth(old)
    assert new is not None
    assert new.session_id != old.session_id
    assert driver.timeouts.script == 7
    driver.quit()


def test_a_quit_at_a_frozen_endpoint_is_bounded(
    far: Far, connect: Connect, registry: SessionRegistry, eventually: Eventually
) -> None:
    """Selenium's remote driver has no time limit of its own, and asks four times."""
    driver, session = connect(far[0])
    registry.quit_limit_s = 0.5
    os.kill(far[1].pid, signal.SIGSTOP)
    assert eventually(lambda: processes.state(far[1]) == "stopped")
    assert Evidence(probes.probe(session)).answer("grid") == "silent"
    with in_time():
        driver.quit()
    os.kill(far[1].pid, signal.SIGCONT)


def test_a_quit_does_not_change_the_users_limits(far: Far, connect: Connect) -> None:
    driver, _session = connect(far[0])
    executor: Any = driver.command_executor
    executor.client_config.timeout = 77
    driver.quit()
    assert executor.client_config.timeout == 77
    assert "retries" not in executor._conn.connection_pool_kw
