"""Strikes at WebDriver commands: which one, when, by whom, and at no cost when there are none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import InvalidSessionIdException, NoSuchElementException

from pytest_resilience.browser.fault_triggers import CommandTrigger, Strike
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.core.evidence import LIFELESS
from pytest_resilience.core.injection_points import Point

pytestmark = pytest.mark.browser

PAGE = "data:text/html,<title>shop</title><p id=p>hello"
Chrome = Callable[..., webdriver.Chrome]


@pytest.fixture
def trigger(registry: SessionRegistry) -> Iterator[CommandTrigger]:
    with CommandTrigger(registry) as trigger:
        yield trigger


def test_points_are_met_once_in_order_and_by_the_right_thread(
    chrome: Chrome, registry: SessionRegistry, trigger: CommandTrigger
) -> None:
    """Before and after in the thread of the command, during in one of its own."""
    struck: list[tuple[str, str, int, bool]] = []

    def note(strike: Strike) -> None:
        ours = threading.current_thread() is threading.main_thread()
        struck.append((str(strike.point), strike.command, strike.number, ours))
        # What a strike asks itself is not counted.
        if ours and strike.number:
            assert strike.session is registry.session_of(driver)
            assert driver.title == "shop"

    trigger.at(Point.parse("after:newSession"), note)
    driver = chrome()
    driver.get(PAGE)
    for point in ("before:2", "after:2", "during:3", "before:get_title", "after:9"):
        trigger.at(Point.parse(point), note)
    assert driver.title == "shop"
    assert driver.find_element("id", "p").text == "hello"
    assert driver.title == "shop"
    assert struck == [
        ("after:newSession", "newSession", 0, True),
        ("before:2", "getTitle", 2, True),
        ("before:getTitle", "getTitle", 2, True),
        ("after:2", "getTitle", 2, True),
        ("during:3", "findElement", 3, False),
    ]
    assert trigger.commands == 5
    trigger.begin()
    assert trigger.commands == 0

    # What strikes can raise, and a command that failed was answered, too.
    def refuse(_strike: Strike) -> None:
        raise KeyError("on purpose")

    trigger.at(Point.parse("before:1"), refuse)
    with pytest.raises(KeyError, match="on purpose"):
        _ = driver.title
    trigger.at(Point.parse("during:getTitle"), refuse)
    with pytest.raises(KeyError, match="on purpose"):
        _ = driver.title
    # An answer can be made late while it is awaited.
    kit = FaultKit(registry, registry.session_of(driver))
    trigger.at(
        Point.parse("during:getTitle"), lambda _strike: kit.apply("delay_commands", during=True)
    )
    begun = time.monotonic()
    assert driver.title == "shop"
    assert time.monotonic() - begun > 1.0
    kit.undo_all()
    trigger.at(Point.parse("after:findElement"), note)
    with pytest.raises(NoSuchElementException):
        driver.find_element("id", "missing")
    assert struck[-1][:2] == ("after:findElement", "findElement")
    trigger.end()
    assert driver.title == "shop"
    assert trigger.commands == 4


def test_a_browser_is_killed_while_a_command_is_under_way(
    chrome: Chrome, registry: SessionRegistry, trigger: CommandTrigger
) -> None:
    driver = chrome()
    driver.get(PAGE)
    kit = FaultKit(registry, registry.session_of(driver))
    struck: list[Any] = []

    def kill(strike: Strike) -> None:
        struck.append(strike.in_flight)
        struck.append(kit.apply("kill_browser", during=True).evidence())

    trigger.at(Point.parse("during:executeScriptAsync"), kill)
    with pytest.raises(InvalidSessionIdException):
        driver.execute_async_script("window.forever = arguments[0]")
    under_way, evidence = struck
    assert under_way
    assert set(evidence["states"].values()) <= LIFELESS


def test_a_simulated_failure_is_the_first_failure_of_its_session(
    chrome: Chrome, registry: SessionRegistry, trigger: CommandTrigger
) -> None:
    """It is seen where a real one would be, and the browser is unharmed."""
    driver = chrome()
    session = registry.session_of(driver)
    assert session is not None
    kit = FaultKit(registry, session)
    trigger.at(Point.parse("before:get"), lambda _strike: kit.simulate("crash_tab"))
    with pytest.raises(Exception, match="tab crashed"):
        driver.get(PAGE)
    assert session.first_failure is not None
    assert "tab crashed" in session.first_failure.message
    driver.get(PAGE)
    assert session.first_failure is None


def test_without_a_trigger_nothing_stands_between_a_command_and_selenium(
    registry: SessionRegistry,
) -> None:
    trigger = CommandTrigger(registry)
    assert registry._watch.on_command is None
    trigger.begin()
    assert registry._watch.on_command is not None
    with pytest.raises(RuntimeError, match="another trigger"):
        CommandTrigger(registry).begin()
    CommandTrigger(registry).end()
    assert registry._watch.on_command is not None
    trigger.end()
    trigger.end()
    assert registry._watch.on_command is None


def test_a_point_that_lies_at_no_command_is_refused(registry: SessionRegistry) -> None:
    with pytest.raises(ValueError, match="setup:driver lies at no command"):
        CommandTrigger(registry).at(Point.parse("setup:driver"), print)
