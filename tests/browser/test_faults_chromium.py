"""Faults in a real Chromium: each strikes for real, and is undone for real."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3
from selenium.common.exceptions import (
    InvalidSessionIdException,
    TimeoutException,
    WebDriverException,
)

from pytest_resilience.browser import processes
from pytest_resilience.browser.fault_devtools import Pages
from pytest_resilience.browser.faults import Applied, FaultError
from pytest_resilience.core.evidence import ALIVE, LIFELESS, STOPPED
from pytest_resilience.core.injection import Platform
from tests.browser.playground import START_DRAWING, Playground, playground, start_chromium
from tests.browser.proofs import proves, proves_each

pytestmark = pytest.mark.browser

Eventually = Callable[..., bool]

_NOTHING = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
OFFLINE = [
    ("Network.enable", {}),
    ("Network.emulateNetworkConditions", {"offline": True, **_NOTHING}),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Playground]:
    with playground(start_chromium, "--enable-unsafe-swiftshader") as ground:
        yield ground


@pytest.fixture
def ground(shared: Playground, request: pytest.FixtureRequest) -> Iterator[Playground]:
    """A browser at the home page; whatever a test leaves in force is undone."""
    shared.prepare()
    yield shared
    shared.leave(request.node)


#: What a test sees of what was killed. Connections of a driver may end a moment after it.
_SEEN: dict[str, tuple[type[Exception], str]] = {
    "kill_browser": (InvalidSessionIdException, "closed the connection"),
    "kill_driver": (urllib3.exceptions.HTTPError, "refused|reset|aborted"),
    "terminate_driver": (urllib3.exceptions.HTTPError, "refused|reset|aborted"),
}


def states(applied: Applied) -> set[str]:
    return set(applied.evidence()["states"].values())


class TestNetwork:
    """What happens between the page and the application."""

    @proves(Platform.CHROMIUM, "slow_network")
    def test_a_slow_network_delays_every_answer_until_it_is_undone(
        self, ground: Playground, eventually: Eventually
    ) -> None:
        applied = ground.apply("slow_network")
        slow = min(ground.fetch_s() for _ in range(2))
        assert eventually(lambda: applied.evidence()["requests"] >= 2)
        evidence = applied.evidence()
        applied.undo()
        assert slow > evidence["conditions"]["latency"] / 1000
        assert evidence["fastest_s"] > 0.4
        assert min(ground.fetch_s() for _ in range(5)) < slow

    @proves(Platform.CHROMIUM, "go_offline")
    def test_offline_neither_scripts_nor_documents_get_anything_in_any_tab(
        self, ground: Playground
    ) -> None:
        applied = ground.apply("go_offline")
        assert ground.fetch()[0] == 0
        assert ground.driver.execute_script("return navigator.onLine") is False
        home = ground.driver.current_window_handle
        ground.driver.switch_to.new_window("tab")
        with pytest.raises(WebDriverException, match="ERR_INTERNET_DISCONNECTED"):
            ground.driver.get(ground.url)
        applied.undo()
        ground.driver.get(ground.url)
        ground.driver.close()
        ground.driver.switch_to.window(home)
        assert ground.fetch()[0] == 200

    def test_a_tab_that_opens_while_we_are_slow_loads_nothing_before_it_has_been_told(
        self, ground: Playground
    ) -> None:
        def dawdle(_talk: object, _event: object) -> None:
            time.sleep(0.2)

        pages = Pages(ground.session, OFFLINE, dawdle)
        home = ground.driver.current_window_handle
        try:
            assert [ground.fetch()[0] for _ in range(3)] == [0, 0, 0]
            ground.driver.switch_to.new_window("tab")
            with pytest.raises(WebDriverException, match="ERR_INTERNET_DISCONNECTED"):
                ground.driver.get(ground.url)
        finally:
            pages.close()
        ground.driver.get(ground.url)
        ground.driver.close()
        ground.driver.switch_to.window(home)

    @proves(Platform.CHROMIUM, "answer_503_once")
    def test_one_request_of_a_script_is_answered_with_503(self, ground: Playground) -> None:
        applied = ground.apply("answer_503_once")
        assert [ground.fetch()[0] for _ in range(3)] == [503, 200, 200]
        evidence = applied.evidence()
        assert (evidence["requests"], evidence["urls"]) == (1, [f"{ground.url}/api"])

    @proves(Platform.CHROMIUM, "answer_500")
    def test_every_request_of_a_script_is_answered_with_500_and_documents_are_not(
        self, ground: Playground
    ) -> None:
        applied = ground.apply("answer_500")
        status, text = ground.fetch()
        assert (status, "pytest-resilience" in text) == (500, True)
        ground.driver.get(f"{ground.url}/basket")
        assert ground.driver.title == "Shop"
        assert ground.fetch("PUT")[0] == 500
        applied.undo()
        assert applied.evidence()["requests"] == 2
        assert ground.fetch()[0] == 200

    def test_a_script_of_another_site_reads_an_injected_answer(self, ground: Playground) -> None:
        ground.apply("answer_500")
        elsewhere = ground.url.replace("127.0.0.1", "localhost")
        script = "const [url, done] = arguments; fetch(url).then(a => done(a.status), done)"
        assert ground.driver.execute_async_script(script, elsewhere) == 500

    @proves(Platform.CHROMIUM, "reset_requests")
    def test_every_request_is_reset(self, ground: Playground) -> None:
        applied = ground.apply("reset_requests")
        assert ground.fetch()[0] == 0
        with pytest.raises(WebDriverException, match="ERR_CONNECTION_RESET"):
            ground.driver.get(ground.url)
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.fetch()[0] == 200

    @proves(Platform.CHROMIUM, "stall_page_load")
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

    def test_what_was_pretended_ends_with_the_connection_alone(
        self, ground: Playground, eventually: Eventually
    ) -> None:
        """A killed process of ours leaves no browser offline."""
        pages = Pages(ground.session, OFFLINE)
        assert ground.fetch()[0] == 0
        pages.close()
        assert eventually(lambda: ground.fetch()[0] == 200)
        assert eventually(
            lambda: "resilience-fault" not in [thread.name for thread in threading.enumerate()]
        )


class TestPage:
    """What a page has to run with, and what ends it."""

    @proves(Platform.CHROMIUM, "throttle_cpu")
    def test_a_throttled_page_computes_slower_until_it_is_undone(self, ground: Playground) -> None:
        applied = ground.throttle()
        busy = (
            "const t = performance.now(); let n = 0; for (let i = 0; i < 1e7; i++) n += i % 7;"
            "return performance.now() - t"
        )
        throttled = min(ground.driver.execute_script(busy) for _ in range(3))
        applied.undo()
        assert min(ground.driver.execute_script(busy) for _ in range(3)) < throttled

    @proves(Platform.CHROMIUM, "fill_heap")
    def test_a_ballast_is_really_taken_from_the_machine_and_stays_on_the_next_page(
        self, ground: Playground
    ) -> None:
        held = "return (window[Symbol.for('resilience')] || []).length"
        applied = ground.apply("fill_heap")
        assert applied.evidence()["holds_mb"] == 200
        assert applied.evidence()["grown_mb"] > 150
        ground.driver.get(f"{ground.url}/basket")
        assert ground.driver.execute_script(held) == 200
        applied.undo()
        assert ground.driver.execute_script(held) == 0
        ground.driver.get(ground.url)
        assert ground.driver.execute_script(held) == 0

    @proves(Platform.CHROMIUM, "stall_script")
    def test_a_script_that_computes_without_end_is_ended(self, ground: Playground) -> None:
        applied = ground.apply("stall_script")
        probe = {"script": "return 1", "args": []}
        path = f"/session/{ground.session.session_id}/execute/sync"
        asked = ground.session.wire.ask("POST", path, limit_s=1.0, body=probe)
        assert (asked.answer, applied.evidence()["answers"]) == ("silent", False)
        applied.undo()
        assert ground.driver.title == "Shop"

    @proves_each(Platform.CHROMIUM, "crash_tab", "kill_renderer", "limit_memory")
    def test_a_tab_dies_and_another_one_can_be_had(self, ground: Playground, name: str) -> None:
        applied = ground.apply(name)
        with pytest.raises(WebDriverException, match="tab crashed"):
            ground.driver.find_element("id", "buy")
        evidence = applied.evidence()
        assert evidence.get("crashed") or set(evidence["states"].values()) <= LIFELESS
        # The browser itself is unharmed; and memory is limited no more.
        ground.new_tab()
        ground.driver.get(ground.url)
        assert ground.apply("fill_heap").evidence()["held_mb"] == 200

    def test_memory_is_limited_for_no_process_that_survives(self, ground: Playground) -> None:
        import psutil

        applied = ground.apply("limit_memory")
        pids = [int(p) for p, state in applied.evidence()["states"].items() if state == ALIVE]
        limits = {psutil.Process(pid).rlimit(psutil.RLIMIT_DATA)[0] for pid in pids}
        assert applied.evidence()["limit_bytes"] not in limits
        ground.new_tab()


class TestGraphics:
    """Contexts, and the process behind them."""

    @proves(Platform.CHROMIUM, "lose_webgl_context")
    def test_a_context_is_lost_and_restored(
        self, ground: Playground, eventually: Eventually
    ) -> None:
        assert ground.driver.execute_script(START_DRAWING)
        applied = ground.apply("lose_webgl_context")
        assert (applied.evidence()["contexts"], applied.evidence()["lost"]) == (1, 1)
        assert ground.driver.execute_script("return gl.isContextLost()")
        assert eventually(lambda: ground.driver.execute_script("return lost") == 1)
        applied.undo()
        assert eventually(lambda: not ground.driver.execute_script("return gl.isContextLost()"))
        assert ground.driver.execute_script("return restored") == 1

    def test_a_page_without_a_context_cannot_lose_any(self, ground: Playground) -> None:
        with pytest.raises(FaultError, match=r"draws nothing by WebGL.*\[fault-impossible\]"):
            ground.apply("lose_webgl_context")
        assert ground.kit.applied == ()

    @proves(Platform.CHROMIUM, "crash_gpu_process")
    def test_the_graphics_process_crashes_and_is_replaced(self, ground: Playground) -> None:
        assert ground.driver.execute_script(START_DRAWING)
        evidence = ground.apply("crash_gpu_process").evidence()
        (victim,) = evidence["pids"]
        gone = processes.identify(victim)
        assert gone is None or processes.state(gone) in LIFELESS
        assert evidence["replaced_by"]
        assert victim not in evidence["replaced_by"]
        assert ground.driver.execute_script("return lost") >= 1

    @proves(Platform.CHROMIUM, "relaunch_without_gpu")
    def test_a_browser_without_graphics_is_replaced_by_one_with(self, ground: Playground) -> None:
        draws = "return !!document.createElement('canvas').getContext('webgl')"
        assert ground.driver.execute_script(draws)
        before = ground.session
        applied = ground.apply("relaunch_without_gpu")
        assert applied.evidence()["webgl"] is False
        assert ground.session.session_id == applied.evidence()["session"] != before.session_id
        ground.driver.get(ground.url)
        assert not ground.driver.execute_script(draws)
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.driver.execute_script(draws)
        assert ground.session.requested == before.requested


class TestConnection:
    """The way from selenium to the driver."""

    @proves(Platform.CHROMIUM, "cut_driver_connection")
    def test_a_cut_connection_refuses_commands_until_it_is_mended(self, ground: Playground) -> None:
        applied = ground.apply("cut_driver_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError, match="Connection refused"):
            ground.driver.get(ground.url)
        assert applied.evidence()["refused"] >= 1
        assert applied.evidence()["cut"] >= 1
        # Who diagnoses is not cut off.
        assert ground.session.wire.ask("GET", "/status", limit_s=5).good
        applied.undo()
        ground.driver.get(ground.url)
        assert ground.driver.title == "Shop"

    def test_a_command_under_way_is_lost_with_its_connection(self, ground: Playground) -> None:
        thread = ground.soon("cut_driver_connection")
        with pytest.raises(urllib3.exceptions.ProtocolError, match="Connection aborted"):
            ground.driver.execute_async_script("setTimeout(arguments[0], 4000)")
        thread.join()

    @proves(Platform.CHROMIUM, "delay_commands")
    def test_every_answer_is_late_until_it_is_undone(self, ground: Playground) -> None:
        def title_s() -> float:
            begun = time.monotonic()
            assert ground.driver.title == "Shop"
            return time.monotonic() - begun

        applied = ground.apply("delay_commands")
        late = min(title_s() for _ in range(2))
        assert late > 1.0
        assert applied.evidence()["delayed"] == 2
        applied.undo()
        assert min(title_s() for _ in range(3)) < late

    def test_an_answer_that_is_later_than_the_client_waits_is_lost(
        self, ground: Playground, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ground.driver.command_executor.client_config, "timeout", 0.5)
        ground.apply("delay_commands")
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            _ = ground.driver.title

    def test_selenium_gets_its_own_kinds_of_connections_back(self, ground: Playground) -> None:
        manager = ground.driver.command_executor._conn
        before = manager.pool_classes_by_scheme
        for name in ("cut_driver_connection", "delay_commands"):
            ground.apply(name)
            assert manager.pool_classes_by_scheme is not before
        ground.kit.undo_all()
        assert manager.pool_classes_by_scheme is before


class TestProcesses:
    """Signals."""

    @proves_each(Platform.CHROMIUM, "freeze_browser", "freeze_driver")
    def test_what_is_stopped_goes_on_when_it_is_undone(self, ground: Playground, name: str) -> None:
        applied = ground.apply(name)
        assert states(applied) == {STOPPED}
        pid = ground.session.browser_pid if name == "freeze_browser" else ground.session.driver_pid
        assert list(applied.evidence()["states"]) == [str(pid)]
        applied.undo()
        applied.undo()
        assert states(applied) == {ALIVE}
        assert ground.driver.title == "Shop"

    @proves_each(Platform.CHROMIUM, "pause_renderer", "pause_driver")
    def test_what_is_paused_goes_on_by_itself(
        self, ground: Playground, name: str, eventually: Eventually
    ) -> None:
        begun = time.monotonic()
        applied = ground.apply(name)
        assert STOPPED in states(applied)
        assert ground.driver.title == "Shop"
        assert time.monotonic() - begun > 1.9
        assert eventually(lambda: states(applied) == {ALIVE})
        assert not applied.undone

    def test_a_pause_is_cut_short_when_it_is_undone(self, ground: Playground) -> None:
        applied = ground.apply("pause_driver")
        applied.undo()
        assert states(applied) == {ALIVE}

    @proves_each(Platform.CHROMIUM, "kill_browser", "kill_driver", "terminate_driver")
    def test_what_is_killed_is_gone(self, ground: Playground, name: str) -> None:
        error, text = _SEEN[name]
        browser = ground.session.browser_process
        assert browser is not None
        applied = ground.apply(name)
        assert states(applied) <= LIFELESS
        if name != "kill_browser":
            assert processes.state(browser) == ALIVE
        with pytest.raises(error, match=text):
            ground.driver.get(ground.url)
        with pytest.raises(FaultError, match="does not run any more"):
            ground.apply(name)

    def test_what_was_struck_may_be_gone_when_all_is_undone(self, ground: Playground) -> None:
        """As it is when recovery has replaced it; undoing leaves the new one alone."""
        names = ("go_offline", "answer_500", "fill_heap", "delay_commands", "freeze_browser")
        applied = [ground.apply(name) for name in names]
        ground.registry.discard(ground.session)
        ground.kit.undo_all()
        assert [one.evidence()["left"] for one in applied] == [[]] * len(names)
        assert all(one.undone for one in applied)
        assert states(applied[-1]) <= LIFELESS
        assert ground.kit.applied == ()
