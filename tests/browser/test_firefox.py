"""Sessions of a real Firefox, which names its processes and fails in its own way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException

from pytest_resilience.browser import probes, processes
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.core.evidence import Evidence

pytestmark = pytest.mark.browser

PAGE = "data:text/html,<title>shop</title><p>hello"
Firefox = Callable[[], webdriver.Firefox]
Eventually = Callable[..., bool]


def started(firefox: Firefox, registry: SessionRegistry) -> tuple[webdriver.Firefox, DriverSession]:
    driver = firefox()
    driver.get(PAGE)
    session = registry.session_of(driver)
    assert session is not None
    return driver, session


def remains(session: DriverSession) -> list[str]:
    assert session.driver_process is not None
    assert session.profile_dir is not None
    left = [str(p.pid) for p in processes.group(session.driver_process)]
    return left + ([session.profile_dir] if os.path.exists(session.profile_dir) else [])


def test_a_firefox_is_known_by_its_parts_and_can_be_begun_anew(
    firefox: Firefox, registry: SessionRegistry
) -> None:
    driver, session = started(firefox, registry)
    assert (session.browser, session.profile_is_ours) == ("firefox", True)
    assert session.browser_pid == driver.capabilities["moz:processID"]
    evidence = Evidence(probes.probe(session))
    assert {r.probe: r.answer for r in evidence if r.probe != "gpu_process"} == {
        "browser_process": "alive",
        "driver_process": "alive",
        "session": "ok",
        "page": "ok",
    }
    assert probes.is_healthy(session)
    reborn = registry.rebirth(session)
    assert reborn is not None
    assert remains(session) == []
    driver.get(PAGE)
    assert driver.title == "shop"
    driver.quit()
    assert remains(reborn) == []


def test_a_killed_firefox_is_gone_and_quit_leaves_nothing(
    firefox: Firefox, registry: SessionRegistry, eventually: Eventually
) -> None:
    driver, session = started(firefox, registry)
    assert session.browser_pid is not None
    os.kill(session.browser_pid, signal.SIGKILL)
    assert eventually(lambda: probes.broken(Evidence(probes.probe(session))))
    with pytest.raises(WebDriverException):
        driver.find_element("tag name", "p")
    evidence = Evidence(probes.probe(session))
    assert evidence.answer("browser_process") in ("gone", "zombie")
    assert evidence.answer("latch") == "browser"
    assert not probes.is_healthy(session)
    driver.quit()
    assert remains(session) == []


def test_the_orphans_of_a_killed_geckodriver_are_reaped(
    firefox: Firefox, registry: SessionRegistry, eventually: Eventually
) -> None:
    _driver, session = started(firefox, registry)
    assert session.driver_pid is not None
    os.kill(session.driver_pid, signal.SIGKILL)
    assert eventually(lambda: probes.needs_driver(Evidence(probes.probe(session))))
    assert len(remains(session)) > 2
    assert registry.reap_all() == [session]
    assert remains(session) == []
