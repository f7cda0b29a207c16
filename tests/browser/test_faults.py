"""The kit of faults: what it offers, what it refuses, and that it undoes everything."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from selenium.common.exceptions import (
    InvalidSessionIdException,
    JavascriptException,
    TimeoutException,
    WebDriverException,
)

from pytest_resilience.browser import latch
from pytest_resilience.browser.fault_applied import Applied
from pytest_resilience.browser.fault_graphics import without_graphics
from pytest_resilience.browser.fault_simulation import simulate
from pytest_resilience.browser.faults import DEEDS, FaultError, FaultKit
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.injection import CATALOGUE, Platform, Simulation, faults
from tests.browser import (
    proofs,
    test_faults_chromium,
    test_faults_elsewhere,
    test_faults_firefox,
    test_faults_grid,
)

SIMULATED = {f.simulation: f for f in CATALOGUE if f.simulation is not None}


def session(browser: str = "chrome", *, remote: bool = False, **granted: Any) -> DriverSession:
    """Return a session of which nothing exists."""
    return DriverSession(
        session_id="0f", browser=browser, browser_version="", endpoint="http://127.0.0.1:1",
        remote=remote, wire=Wire("http://127.0.0.1:1"), requested=None, capabilities=granted,
    )  # fmt: skip


def kit_of(*args: Any, **granted: Any) -> FaultKit:
    return FaultKit(SessionRegistry(), session(*args, **granted))


def applied(name: str = "fill_heap") -> Applied:
    fault = next(fault for fault in CATALOGUE if fault.name == name)
    return Applied(fault, SessionRegistry(), None, Platform.NO_BROWSER)


class TestOffer:
    """What a kit can do."""

    def test_there_is_a_deed_for_every_fault_of_the_catalogue_and_no_other(self) -> None:
        assert set(DEEDS) == {fault.name for fault in CATALOGUE}

    @pytest.mark.parametrize("platform", list(Platform), ids=lambda p: p.label)
    def test_it_offers_what_the_catalogue_allows_on_a_platform(self, platform: Platform) -> None:
        kits = {
            Platform.CHROMIUM: kit_of("chrome"),
            Platform.FIREFOX: kit_of("firefox"),
            Platform.GRID_CHROMIUM: kit_of("msedge", remote=True),
            Platform.GRID_FIREFOX: kit_of("firefox", remote=True),
            Platform.NO_BROWSER: FaultKit(SessionRegistry()),
        }
        assert kits[platform].platform is platform
        assert kits[platform].names() == tuple(fault.name for fault in faults(platform))

    def test_nothing_of_it_is_loaded_until_it_is_used(self) -> None:
        code = (
            "import sys, pytest_resilience.browser.sessions, pytest_resilience.plugin.main\n"
            "print([n for n in sys.modules if '.fault_' in n or n.endswith('browser.faults')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"


class TestProof:
    """Every fault is seen to strike for real, wherever it is offered."""

    @pytest.mark.parametrize("platform", list(Platform), ids=lambda p: p.label)
    def test_a_test_proves_each_fault_of_a_platform_and_its_undoing(
        self, platform: Platform
    ) -> None:
        modules = [test_faults_chromium, test_faults_firefox, test_faults_grid]
        proven = proofs.claims([*modules, test_faults_elsewhere])
        assert {name for on, name in proven if on is platform} == proofs.to_be_proven(platform)

    def test_who_says_so_and_makes_nothing_happen_is_found_out(self) -> None:
        """Also who leaves it in force, or has no evidence that it struck."""
        struck, item = (
            applied(),
            SimpleNamespace(
                iter_markers=lambda _name: [proofs.proves(Platform.NO_BROWSER, "fill_heap").mark]
            ),
        )
        for what in ([], [struck]):
            with pytest.raises(AssertionError):
                proofs.check(item, what)
        struck.prove(held_mb=1)
        with pytest.raises(AssertionError):
            proofs.check(item, [struck])
        struck.undo()
        proofs.check(item, [struck])


class TestRefusal:
    """What is not possible is refused, with the reason and what is possible."""

    def test_an_unknown_fault(self) -> None:
        with pytest.raises(FaultError, match=r"no fault 'kil_browser'; possible.*kill_browser"):
            kit_of().apply("kil_browser")

    @pytest.mark.parametrize(
        ("kit", "name", "reason"),
        [
            pytest.param(
                kit_of(remote=True), "kill_browser",
                r"not possible on Chromium on a Grid \(http://127.0.0.1:1\); possible there:.*"
                "crash_browser", id="process of a node",
            ),
            pytest.param(
                kit_of("firefox"), "crash_tab", "not possible on Firefox", id="DevTools of Firefox"
            ),
            pytest.param(
                FaultKit(SessionRegistry()), "go_offline", r"on no browser", id="no browser"
            ),
            pytest.param(kit_of("firefox"), "go_offline", "enable_bidi = True", id="no BiDi"),
            pytest.param(
                kit_of(remote=True), "go_offline", "no way to the DevTools", id="no DevTools"
            ),
            pytest.param(kit_of(), "kill_driver", "driver that runs on this machine", id="no pid"),
            pytest.param(kit_of(), "freeze_browser", "no process is known", id="no browser pid"),
            pytest.param(kit_of(), "delay_commands", "usual kind of connection", id="no driver"),
            pytest.param(kit_of(), "relaunch_without_gpu", "not known how", id="no request"),
        ],
    )  # fmt: skip
    def test_in_this_session(self, kit: FaultKit, name: str, reason: str) -> None:
        with pytest.raises(FaultError, match=reason):
            kit.apply(name)
        assert kit.applied == ()

    def test_during_a_command(self) -> None:
        with pytest.raises(FaultError, match=r"cannot strike while a command.*kill_browser"):
            kit_of().apply("crash_tab", during=True)

    def test_what_fails_otherwise_says_how_and_leaves_nothing_in_force(self) -> None:
        def arrange() -> None:
            raise OSError("no such database")

        kit = FaultKit(SessionRegistry(), arrange=arrange)
        with pytest.raises(FaultError, match="fail_application_database: OSError: no such data"):
            kit.apply("fail_application_database")
        assert kit.applied == ()

    def test_a_process_that_died_and_whose_pid_somebody_else_has(self) -> None:
        from pytest_resilience.browser.processes import ProcessId

        with subprocess.Popen(["sleep", "60"]) as other:
            try:
                known = session()
                known.driver_process = ProcessId(other.pid, 1.0)
                with pytest.raises(FaultError, match="does not run any more"):
                    FaultKit(SessionRegistry(), known).apply("kill_driver")
                assert other.poll() is None
            finally:
                other.kill()


class TestUndoing:
    """All changes are undone, once, the last one first."""

    def test_the_last_change_is_undone_first_and_once(self) -> None:
        undone: list[int] = []
        fault = applied()
        for number in range(3):
            fault.when_undone(lambda number=number: undone.append(number))
        assert not fault.undone
        fault.undo()
        fault.undo()
        assert (undone, fault.undone) == ([2, 1, 0], True)

    def test_what_cannot_be_undone_is_told_and_the_rest_is_undone(self) -> None:
        undone: list[str] = []

        def fail() -> None:
            raise OSError("no way back")

        fault = applied()
        fault.when_undone(lambda: undone.append("rest"))
        fault.when_undone(fail)
        fault.undo()
        assert undone == ["rest"]
        assert fault.evidence()["left"] == ["OSError: no way back"]

    def test_a_change_that_comes_late_is_undone_at_once(self) -> None:
        undone: list[str] = []
        fault = applied()
        fault.undo()
        fault.when_undone(lambda: undone.append("late"))
        assert undone == ["late"]

    def test_an_interrupt_leaves_the_rest_to_be_undone(self) -> None:
        undone: list[str] = []

        def interrupt() -> None:
            raise KeyboardInterrupt

        fault = applied()
        fault.when_undone(lambda: undone.append("rest"))
        fault.when_undone(interrupt)
        with pytest.raises(KeyboardInterrupt):
            fault.undo()
        assert not fault.undone
        fault.undo()
        assert undone == ["rest"]

    def test_a_look_that_fails_is_no_proof_and_no_error(self) -> None:
        def look() -> dict[str, object]:
            raise OSError("gone")

        fault = applied()
        fault.prove(held_mb=1)
        fault.look(look)
        assert fault.evidence() == {
            "fault": "fill_heap", "held_mb": 1, "unseen": ["OSError: gone"],
            "undone": False, "left": [],
        }  # fmt: skip

    def test_the_end_of_the_process_undoes_everything(self) -> None:
        code = (
            "from pytest_resilience.browser.faults import FaultKit\n"
            "from pytest_resilience.browser.sessions import SessionRegistry\n"
            "kit = FaultKit(SessionRegistry(), arrange=lambda: lambda: print('mended'))\n"
            "kit.apply('fail_application_database'); print('broken')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["broken", "mended"]


class TestSimulation:
    """The exceptions that a test would see, raised by selenium itself."""

    @pytest.mark.parametrize(
        ("name", "error", "text"),
        [
            ("kill_browser", InvalidSessionIdException, "browser has closed the connection"),
            ("crash_tab", WebDriverException, "tab crashed"),
            ("go_offline", WebDriverException, "ERR_INTERNET_DISCONNECTED"),
            ("stall_page_load", TimeoutException, "from renderer"),
            ("lose_webgl_context", JavascriptException, "WebGL context lost"),
            ("freeze_driver", urllib3.exceptions.ReadTimeoutError, "Read timed out"),
            ("kill_driver", urllib3.exceptions.MaxRetryError, "Connection refused"),
        ],
    )
    def test_it_is_of_the_class_and_the_text_of_a_real_one(
        self, name: str, error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text) as raised:
            kit_of().simulate(name)
        assert type(raised.value) is error

    def test_it_is_what_the_browser_at_hand_would_say(self) -> None:
        with pytest.raises(WebDriverException, match="from marionette"):
            kit_of("firefox").simulate("kill_browser")

    def test_without_a_browser_it_is_what_any_browser_would_say(self) -> None:
        with pytest.raises(InvalidSessionIdException):
            FaultKit(SessionRegistry()).simulate("kill_browser")

    @pytest.mark.parametrize("simulation", SIMULATED, ids=lambda s: f"{s.error}: {s.message}"[:50])
    def test_it_tells_the_same_of_a_session_as_a_real_one(self, simulation: Simulation) -> None:
        expected = SIMULATED[simulation].errors
        with pytest.raises((WebDriverException, urllib3.exceptions.HTTPError)) as raised:
            simulate(simulation)
        fact = latch.fact_of(raised.value)
        assert "selenium" in fact.origin or "urllib3" in fact.mro[0]
        if latch.is_worth_keeping(fact) and fact.type_name != "ReadTimeoutError":
            labels = {error.label for error in expected} | {"connection", "timeout"}
            assert latch.label_of(fact) in labels

    def test_what_nobody_would_see_cannot_be_simulated(self) -> None:
        with pytest.raises(FaultError, match=r"slow_network cannot be simulated; what can:.*crash"):
            kit_of().simulate("slow_network")


class TestRequest:
    """How a browser is asked for without graphics."""

    @pytest.mark.parametrize(
        ("requested", "changed"),
        [
            pytest.param(
                {"goog:chromeOptions": {"args": ["--headless", "--enable-unsafe-swiftshader"]}},
                {"goog:chromeOptions": {"args": ["--headless", "--disable-gpu",
                                                 "--disable-3d-apis"]}},
                id="flat",
            ),
            pytest.param(
                {"capabilities": {"firstMatch": [{}, {"ms:edgeOptions": {}}]}},
                {"capabilities": {"firstMatch": [{}, {"ms:edgeOptions": {
                    "args": ["--disable-gpu", "--disable-3d-apis"]}}]}},
                id="W3C",
            ),
            pytest.param(
                {"browserName": "chrome"},
                {"browserName": "chrome",
                 "goog:chromeOptions": {"args": ["--disable-gpu", "--disable-3d-apis"]}},
                id="no options",
            ),
        ],
    )  # fmt: skip
    def test_its_options_are_changed_wherever_they_stand(
        self, requested: dict[str, Any], changed: dict[str, Any]
    ) -> None:
        before = repr(requested)
        assert without_graphics(requested) == changed
        assert repr(requested) == before
