"""Faults behind an endpoint: a driver far away, and a real Selenium Grid."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from selenium import webdriver
from selenium.common.exceptions import (
    InvalidSessionIdException,
    TimeoutException,
    WebDriverException,
)

from pytest_resilience.browser import fault_wire
from pytest_resilience.browser.faults import FaultError
from pytest_resilience.core.injection import Platform
from tests.acceptance import lab
from tests.acceptance.grid import Grid
from tests.browser.conftest import found
from tests.browser.playground import START_DRAWING, Playground, chromium_options, playground
from tests.browser.proofs import proves, proves_each

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    grid = Grid(tmp_path_factory.mktemp("grid"), temporary, slots=4)
    try:
        yield grid
    finally:
        grid.close()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(grid: Grid) -> Iterator[Playground]:
    def start(*arguments: str) -> webdriver.Remote:
        return webdriver.Remote(grid.url, options=chromium_options(*arguments))

    with playground(start, "--enable-unsafe-swiftshader") as ground:
        yield ground


@pytest.fixture
def ground(shared: Playground, request: pytest.FixtureRequest) -> Iterator[Playground]:
    """A browser of the grid at the home page; whatever a test leaves in force is undone."""
    shared.prepare()
    yield shared
    shared.leave(request.node)


def seconds(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def shared_fox(grid: Grid) -> Iterator[Playground]:
    with playground(lambda: webdriver.Remote(grid.url, options=lab.firefox_options())) as ground:
        yield ground


@pytest.fixture
def fox(shared_fox: Playground, request: pytest.FixtureRequest) -> Iterator[Playground]:
    """A Firefox of the grid at the home page; whatever a test leaves in force is undone."""
    shared_fox.prepare()
    yield shared_fox
    shared_fox.leave(request.node)


class TestPages:
    """What reaches the browser through the grid."""

    @proves(
        Platform.GRID_CHROMIUM,
        "go_offline",
        "slow_network",
        "answer_503_once",
        "answer_500",
        "reset_requests",
        "stall_page_load",
    )
    def test_the_network_of_its_pages(self, ground: Playground) -> None:
        """Offline, late, answered by us, reset, held back: and as before, each time."""
        assert ground.kit.platform is Platform.GRID_CHROMIUM
        applied = ground.apply("go_offline")
        with pytest.raises(WebDriverException, match="ERR_INTERNET_DISCONNECTED"):
            ground.driver.get(ground.url)
        applied.undo()
        ground.driver.get(ground.url)

        applied = ground.apply("slow_network")
        assert ground.fetch_s() > 0.5
        applied.undo()

        for name, statuses in (("answer_503_once", [503, 200]), ("answer_500", [500, 500])):
            applied = ground.apply(name)
            assert [ground.fetch()[0] for _ in range(2)] == statuses
            applied.undo()
        applied = ground.apply("reset_requests")
        with pytest.raises(WebDriverException, match="ERR_CONNECTION_RESET"):
            ground.driver.get(ground.url)
        applied.undo()
        applied = ground.apply("stall_page_load")
        ground.driver.set_page_load_timeout(0.5)
        with pytest.raises(WebDriverException):
            ground.driver.get(f"{ground.url}/basket")
        assert applied.evidence()["requests"] >= 1
        applied.undo()
        ground.driver.set_page_load_timeout(60)
        ground.driver.get(ground.url)
        assert ground.fetch()[0] == 200

    @proves(
        Platform.GRID_CHROMIUM,
        "throttle_cpu",
        "fill_heap",
        "lose_webgl_context",
        "crash_gpu_process",
    )
    def test_what_its_pages_run_with(self, ground: Playground) -> None:
        ground.throttle()
        assert ground.apply("fill_heap").evidence()["holds_mb"] == 200
        ground.kit.undo_all()
        assert ground.driver.execute_script(START_DRAWING)
        assert ground.apply("lose_webgl_context").evidence()["lost"] == 1
        evidence = ground.apply("crash_gpu_process").evidence()
        assert set(evidence["pids"]).isdisjoint(evidence["replaced_by"])

    @proves(Platform.GRID_CHROMIUM, "occupy_page", "stall_script")
    def test_a_page_is_occupied_and_a_script_without_end_is_ended(self, ground: Playground) -> None:
        ground.apply("occupy_page")
        assert seconds(lambda: ground.driver.execute_script("return 1")) > 1.5
        applied = ground.apply("stall_script")
        assert applied.evidence()["answers"] is False
        applied.undo()
        assert ground.driver.title == "Shop"

    @proves_each(Platform.GRID_CHROMIUM, "open_kill_page", "exhaust_memory", "crash_tab")
    def test_a_tab_crashes(self, ground: Playground, name: str) -> None:
        assert ground.apply(name).evidence()["crashed"] is True
        with pytest.raises(WebDriverException, match="tab crashed"):
            ground.driver.get(ground.url)

    @proves(Platform.GRID_CHROMIUM, "open_hang_page")
    def test_a_page_hangs_for_ever(self, ground: Playground) -> None:
        applied = ground.apply("open_hang_page")
        assert applied.evidence()["answers"] is False
        assert applied.evidence()["left"] == ["the page hangs until the session is ended"]
        ground.registry.discard(ground.session)

    @proves(Platform.GRID_CHROMIUM, "crash_browser")
    def test_the_browser_crashes(self, ground: Playground) -> None:
        assert ground.apply("crash_browser").evidence()["crashed"] is True
        with pytest.raises(InvalidSessionIdException):
            ground.driver.get(ground.url)

    @proves(Platform.GRID_CHROMIUM, "relaunch_without_gpu")
    def test_a_browser_without_graphics_is_replaced_by_one_with(self, ground: Playground) -> None:
        draws = "return !!document.createElement('canvas').getContext('webgl')"
        applied = ground.apply("relaunch_without_gpu")
        assert applied.evidence()["webgl"] is False
        ground.driver.get(ground.url)
        assert not ground.driver.execute_script(draws)
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.driver.execute_script(draws)


class TestConnection:
    """The way from selenium to the grid."""

    @proves(Platform.GRID_CHROMIUM, "cut_driver_connection")
    def test_it_is_cut_and_mended(self, ground: Playground) -> None:
        applied = ground.apply("cut_driver_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError, match="Connection refused"):
            ground.driver.get(ground.url)
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.driver.title == "Shop"

    @proves(Platform.GRID_CHROMIUM, "delay_commands", "hold_commands")
    def test_answers_are_late_or_held_back_for_a_while(self, ground: Playground) -> None:
        ground.apply("delay_commands")
        assert seconds(lambda: ground.driver.title) > 1.0
        ground.kit.undo_all()
        applied = ground.apply("hold_commands")
        held = seconds(lambda: ground.driver.title)
        assert held > 3.0
        assert seconds(lambda: ground.driver.title) < held
        assert applied.evidence()["delayed"] == 1

    def test_a_hold_ends_when_it_is_undone(
        self, ground: Playground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fault_wire, "HOLD_S", 100.0)
        applied = ground.apply("hold_commands")
        timer = threading.Timer(0.5, applied.undo)
        timer.start()
        assert seconds(lambda: ground.driver.title) < 60.0


class TestFirefox:
    """What reaches a Firefox through the grid."""

    @proves(
        *(Platform.GRID_FIREFOX, "go_offline", "answer_503_once", "answer_500"),
        *("reset_requests", "stall_page_load"),
    )
    def test_the_network_of_its_pages(self, fox: Playground) -> None:
        """Offline, answered by us, reset, held back: and as before, each time."""
        assert fox.kit.platform is Platform.GRID_FIREFOX
        for name, statuses in (("answer_503_once", [503, 200]), ("answer_500", [500, 500])):
            applied = fox.apply(name)
            assert [fox.fetch()[0] for _ in range(2)] == statuses
            applied.undo()
            assert fox.fetch()[0] == 200
        for name, error in (("go_offline", "e=netOffline"), ("reset_requests", "e=netReset")):
            applied = fox.apply(name)
            with pytest.raises(WebDriverException, match=error):
                fox.driver.get(fox.url)
            applied.undo()
            fox.driver.get(fox.url)
            assert fox.fetch()[0] == 200
        applied = fox.apply("stall_page_load")
        fox.driver.set_page_load_timeout(0.5)
        with pytest.raises(TimeoutException):
            fox.driver.get(f"{fox.url}/basket")
        assert applied.evidence()["requests"] >= 1
        applied.undo()
        fox.driver.set_page_load_timeout(60)
        fox.driver.get(fox.url)
        assert fox.fetch()[0] == 200

    @proves(
        *(Platform.GRID_FIREFOX, "reset_one_command", "cut_driver_connection"),
        *("delay_commands", "hold_commands"),
    )
    def test_the_way_to_the_grid(self, fox: Playground) -> None:
        """One command is reset, all are cut, late or held back: and as before, each time."""
        applied = fox.apply("reset_one_command")
        with pytest.raises(urllib3.exceptions.ProtocolError, match="reset by peer"):
            fox.driver.get(fox.url)
        assert applied.evidence()["reset"] == 1
        applied = fox.apply("cut_driver_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError, match="Connection refused"):
            fox.driver.get(fox.url)
        applied.undo()
        applied = fox.apply("delay_commands")
        assert seconds(lambda: fox.driver.title) > 1.0
        assert applied.evidence()["delayed"] == 1
        applied.undo()
        applied = fox.apply("hold_commands")
        assert seconds(lambda: fox.driver.title) > 3.0
        assert applied.evidence()["delayed"] == 1
        applied.undo()
        fox.driver.get(fox.url)
        assert fox.driver.title == "Shop"

    @proves(Platform.GRID_FIREFOX, "fill_heap", "occupy_page", "stall_script")
    def test_what_its_pages_run_with(self, fox: Playground) -> None:
        held = "return (window[Symbol.for('resilience')] || []).length"
        applied = fox.apply("fill_heap")
        assert applied.evidence()["held_mb"] == fox.driver.execute_script(held) == 200
        applied.undo()
        assert fox.driver.execute_script(held) == 0
        assert fox.apply("occupy_page").evidence()["answers"] is False
        assert seconds(lambda: fox.driver.execute_script("return 1")) > 0.5
        stalled = fox.apply("stall_script")
        assert stalled.evidence()["answers"] is False
        assert stalled.evidence()["left"] == ["the script computes until the session is ended"]
        # Nobody but its end frees it.
        fox.registry.discard(fox.session)


def test_its_processes_are_out_of_reach(ground: Playground) -> None:
    for name in ("kill_browser", "freeze_driver", "limit_memory", "kill_renderer"):
        with pytest.raises(FaultError, match=f"{name} is not possible on Chromium on a Grid"):
            ground.apply(name)


def test_a_driver_that_is_no_grid_is_reached_on_this_machine(tmp_path: Path) -> None:
    """Its browsers' DevTools are on this machine, too."""
    service: Any = webdriver.ChromeService(found("chromedriver"))
    service.start()
    try:
        with playground(
            lambda: webdriver.Remote(service.service_url, options=chromium_options())
        ) as ground:
            ground.prepare()
            assert ground.kit.platform is Platform.GRID_CHROMIUM
            applied = ground.apply("answer_500")
            assert ground.fetch()[0] == 500
            applied.undo()
            assert ground.fetch()[0] == 200
    finally:
        service.stop()
