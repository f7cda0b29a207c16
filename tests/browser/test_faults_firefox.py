"""Faults in a real Firefox: by WebDriver BiDi, by signals, and in the way to its driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3
from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException

from pytest_resilience.browser import processes
from pytest_resilience.browser.faults import Applied, FaultError
from pytest_resilience.core.evidence import ALIVE, GONE, LIFELESS, STOPPED
from pytest_resilience.core.injection import Platform
from tests.acceptance import lab
from tests.browser.playground import Playground, playground
from tests.browser.proofs import proves, proves_each

pytestmark = pytest.mark.browser

Eventually = Callable[..., bool]


@pytest.fixture(scope="module")
def shared() -> Iterator[Playground]:
    with playground(lab.launch_firefox) as ground:
        yield ground


@pytest.fixture
def ground(shared: Playground, request: pytest.FixtureRequest) -> Iterator[Playground]:
    """A browser at the home page; whatever a test leaves in force is undone."""
    shared.prepare()
    yield shared
    shared.leave(request.node)


def states(applied: Applied) -> set[str]:
    return set(applied.evidence()["states"].values())


def title_s(ground: Playground) -> float:
    """Return the seconds it takes to be told the title of the page."""
    begun = time.monotonic()
    assert ground.driver.title == "Shop"
    return time.monotonic() - begun


def test_a_fox_that_speaks_no_bidi_is_not_asked_to(ground: Playground) -> None:
    """The refusal says how to start one that does."""
    offered = ground.session.capabilities.pop("webSocketUrl")
    try:
        with pytest.raises(FaultError, match="enable_bidi = True"):
            ground.apply("go_offline")
    finally:
        ground.session.capabilities["webSocketUrl"] = offered
    assert isinstance(ground.driver, webdriver.Firefox)


class TestNetwork:
    """What happens between the page and the application."""

    @proves(Platform.FIREFOX, "go_offline")
    def test_offline_neither_scripts_nor_documents_get_anything(self, ground: Playground) -> None:
        applied = ground.apply("go_offline")
        assert ground.fetch()[0] == 0
        with pytest.raises(WebDriverException, match="e=netOffline"):
            ground.driver.get(ground.url)
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.fetch()[0] == 200

    @proves(Platform.FIREFOX, "answer_503_once")
    def test_one_request_of_a_script_is_answered_with_503(self, ground: Playground) -> None:
        applied = ground.apply("answer_503_once")
        assert [ground.fetch()[0] for _ in range(3)] == [503, 200, 200]
        assert applied.evidence()["urls"] == [f"{ground.url}/api"]

    @proves(Platform.FIREFOX, "answer_500")
    def test_every_request_of_a_script_is_answered_with_500_and_documents_are_not(
        self, ground: Playground
    ) -> None:
        applied = ground.apply("answer_500")
        status, text = ground.fetch()
        assert (status, "pytest-resilience" in text) == (500, True)
        ground.driver.get(f"{ground.url}/basket")
        assert ground.driver.title == "Shop"
        applied.undo()
        assert applied.evidence()["left"] == []
        assert ground.fetch()[0] == 200

    @proves(Platform.FIREFOX, "reset_requests")
    def test_every_request_is_reset(self, ground: Playground) -> None:
        applied = ground.apply("reset_requests")
        assert ground.fetch()[0] == 0
        with pytest.raises(WebDriverException, match="e=netReset"):
            ground.driver.get(ground.url)
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.fetch()[0] == 200

    @proves(Platform.FIREFOX, "stall_page_load")
    def test_a_held_page_does_not_load_and_does_when_it_is_undone(
        self, ground: Playground, eventually: Eventually
    ) -> None:
        applied = ground.apply("stall_page_load")
        ground.driver.set_page_load_timeout(1)
        with pytest.raises(TimeoutException):
            ground.driver.get(f"{ground.url}/basket")
        assert eventually(lambda: applied.evidence()["requests"] >= 1)
        ground.driver.set_page_load_timeout(60)
        timer = threading.Timer(0.5, applied.undo)
        timer.start()
        ground.driver.get(f"{ground.url}/till")
        timer.join()
        assert ground.driver.current_url == f"{ground.url}/till"


class TestConnection:
    """The way from selenium to the driver."""

    @proves(Platform.FIREFOX, "reset_one_command")
    def test_one_command_is_reset_and_a_question_is_asked_again(self, ground: Playground) -> None:
        applied = ground.apply("reset_one_command")
        with pytest.raises(urllib3.exceptions.ProtocolError, match="reset by peer"):
            ground.driver.get(ground.url)
        assert applied.evidence()["reset"] == 1
        ground.driver.get(ground.url)
        applied = ground.apply("reset_one_command")
        assert ground.driver.title == "Shop"
        assert applied.evidence()["reset"] == 1

    @proves(Platform.FIREFOX, "cut_driver_connection", "delay_commands")
    def test_it_is_cut_or_late_until_that_is_undone(self, ground: Playground) -> None:
        applied = ground.apply("cut_driver_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError, match="Connection refused"):
            ground.driver.get(ground.url)
        assert applied.evidence()["refused"] >= 1
        applied.undo()
        applied = ground.apply("delay_commands")
        late = title_s(ground)
        assert late > 1.0
        assert applied.evidence()["delayed"] == 1
        applied.undo()
        assert min(title_s(ground) for _ in range(3)) < late

    def test_a_command_under_way_is_reset(self, ground: Playground) -> None:
        thread = ground.soon("reset_one_command")
        with pytest.raises(urllib3.exceptions.ProtocolError, match="Connection aborted"):
            ground.driver.execute_async_script("setTimeout(arguments[0], 4000)")
        thread.join()
        assert ground.driver.title == "Shop"


class TestProcesses:
    """Signals."""

    @proves(Platform.FIREFOX, "fill_heap")
    def test_a_ballast_is_really_taken_from_the_machine(self, ground: Playground) -> None:
        held = "return (window[Symbol.for('resilience')] || []).length"
        applied = ground.apply("fill_heap")
        assert applied.evidence()["held_mb"] == ground.driver.execute_script(held) == 200
        assert applied.evidence()["grown_mb"] > 150
        applied.undo()
        assert ground.driver.execute_script(held) == 0

    @proves_each(Platform.FIREFOX, "freeze_browser", "freeze_driver")
    def test_what_is_stopped_goes_on_when_it_is_undone(self, ground: Playground, name: str) -> None:
        applied = ground.apply(name)
        assert states(applied) == {STOPPED}
        applied.undo()
        assert states(applied) == {ALIVE}
        assert ground.driver.title == "Shop"

    @proves_each(Platform.FIREFOX, "pause_renderer", "pause_driver")
    def test_what_is_paused_goes_on_by_itself(
        self, ground: Playground, name: str, eventually: Eventually
    ) -> None:
        begun = time.monotonic()
        applied = ground.apply(name)
        assert STOPPED in states(applied)
        assert ground.driver.execute_script("return 1") == 1
        assert time.monotonic() - begun > 1.9
        assert eventually(lambda: states(applied) <= {ALIVE, GONE})

    @proves(Platform.FIREFOX, "kill_content_process")
    def test_the_browser_ends_with_its_content_processes(self, ground: Playground) -> None:
        evidence = ground.apply("kill_content_process").evidence()
        assert set(evidence["states"].values()) <= LIFELESS
        assert evidence["browser"] in LIFELESS
        with pytest.raises(WebDriverException):
            ground.driver.get(ground.url)

    @proves(Platform.FIREFOX, "stall_script")
    def test_a_script_that_computes_without_end_ends_with_its_session(
        self, ground: Playground
    ) -> None:
        applied = ground.apply("stall_script")
        assert applied.evidence()["answers"] is False
        assert applied.evidence()["left"] == ["the script computes until the session is ended"]
        # Nobody but its end frees it.
        ground.registry.discard(ground.session)

    @proves_each(Platform.FIREFOX, "kill_driver", "terminate_driver")
    def test_a_driver_ends_and_its_browser_is_ended_with_the_session(
        self, ground: Playground, name: str
    ) -> None:
        browser = ground.session.browser_process
        assert browser is not None
        applied = ground.apply(name)
        assert states(applied) <= LIFELESS
        with pytest.raises(urllib3.exceptions.HTTPError, match=r"refused|reset|aborted"):
            ground.driver.get(ground.url)
        ground.registry.discard(ground.session)
        assert processes.state(browser) in LIFELESS

    @proves(Platform.FIREFOX, "kill_browser")
    def test_the_browser_is_killed(self, ground: Playground) -> None:
        applied = ground.apply("kill_browser")
        assert states(applied) <= LIFELESS
        with pytest.raises(WebDriverException, match="marionette"):
            ground.driver.get(ground.url)
