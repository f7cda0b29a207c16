"""Whether a session could be had again: what is asked, what is tried, and that nothing is left."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from pytest_resilience.browser import throwaway
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.starts import FailedStart, Launch
from pytest_resilience.browser.trial import Trial, hard_down, request_like
from pytest_resilience.browser.wire import Reply, Wire
from pytest_resilience.core.evidence import Evidence, ProbeResult
from tests.acceptance.grid import Grid, stopped
from tests.acceptance.inner import processes_of
from tests.browser.conftest import CHROME_ARGUMENTS, found
from tests.ports import free_port

Chrome = Callable[..., webdriver.Chrome]
Eventually = Callable[..., bool]

#: Seconds a trial that is to work may take, on a machine that does much else.
AMPLE_S = 60.0
#: Seconds after which one is cut off that never would work.
SHORT_S = 3.0
#: Seconds that are too long for something that is cut off after `SHORT_S`.
FAR_TOO_LONG_S = 120.0


def trial_of(registry: SessionRegistry, driver: object) -> Trial:
    session = registry.session_of(driver)
    assert session is not None
    trial = Trial.of_session(session)
    assert trial is not None
    return trial


def timed(trial: Trial, limit_s: float) -> tuple[bool, str]:
    """Try, and see to it that it was bounded."""
    begun = time.monotonic()
    answer = trial.succeeds(limit_s)
    assert time.monotonic() - begun < FAR_TOO_LONG_S
    return answer


def written(path: Path, text: str) -> str:
    """Write a program."""
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


class TestRequest:
    """What is requested: the same, but nothing that a living browser has."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            pytest.param(["--headless", "--lang=de"], ["--headless", "--lang=de"], id="kept"),
            pytest.param(["--user-data-dir=/home/me"], [], id="profile"),
            pytest.param(["user-data-dir=/home/me", "-x"], ["-x"], id="profile-without-dashes"),
            pytest.param(["-profile", "/home/me", "-headless"], ["-headless"], id="firefox"),
            pytest.param(["-headless", "-P", "me"], ["-headless"], id="named-profile"),
            pytest.param(["--user-data-dir", "--x"], ["--x"], id="profile-without-value"),
        ],
    )
    def test_profiles_are_left_out(self, arguments: list[str], expected: list[str]) -> None:
        request = request_like({"browserName": "b", "x:options": {"args": arguments}})
        assert request is not None
        assert request["capabilities"]["alwaysMatch"]["x:options"]["args"] == expected

    @pytest.mark.parametrize("name", ["--remote-debugging-port", "remote-debugging-port"])
    def test_a_debugging_port_is_another_one(self, name: str) -> None:
        request = request_like({"goog:chromeOptions": {"args": [f"{name}=9222"]}})
        assert request is not None
        (argument,) = request["capabilities"]["alwaysMatch"]["goog:chromeOptions"]["args"]
        found_name, _, port = argument.partition("=")
        assert (found_name, port.isdigit(), port != "9222") == (name, True, True)

    def test_the_browser_does_not_outlive_its_session(self) -> None:
        request = request_like({"goog:chromeOptions": {"detach": True, "binary": "/b"}})
        assert request is not None
        assert request["capabilities"]["alwaysMatch"] == {"goog:chromeOptions": {"binary": "/b"}}

    def test_each_alternative_of_a_request_is_adapted_and_the_request_itself_is_not(self) -> None:
        requested = {
            "capabilities": {
                "alwaysMatch": {"a": 1},
                "firstMatch": [{"x:o": {"args": ["--profile", "p", "-z"]}}, {"y:o": {"b": 2}}],
            }
        }
        before = json.dumps(requested)
        assert request_like(requested) == {
            "capabilities": {
                "alwaysMatch": {"a": 1},
                "firstMatch": [{"x:o": {"args": ["-z"]}}, {"y:o": {"b": 2}}],
            }
        }
        assert json.dumps(requested) == before

    @pytest.mark.parametrize(
        "requested",
        [None, "chrome", {"goog:chromeOptions": {"debuggerAddress": "localhost:9222"}}],
        ids=["unseen", "no-capabilities", "attached"],
    )
    def test_some_cannot_be_made_again(self, requested: object) -> None:
        assert request_like(requested) is None


class TestRecipe:
    """Of what a trial is made, and when there is none."""

    @pytest.mark.parametrize(
        ("launch", "exists"),
        [
            (Launch(("/bin/driver", "--port=1")), True),
            (Launch(("/bin/driver", "-p", "1")), True),
            (Launch(("/bin/driver",)), False),
            (Launch(("/bin/driver", "--port", "1", "--connect-existing")), False),
            (None, False),
        ],
        ids=["port", "short", "no-port", "attached", "no-way"],
    )
    def test_a_driver_must_take_a_port_and_have_a_browser_of_its_own(
        self, launch: Launch | None, exists: bool
    ) -> None:
        failed = FailedStart(mark=1, requested={"browserName": "b"}, launch=launch)
        assert (Trial.of_failed_start(failed) is not None) is exists

    def test_without_capabilities_there_is_none(self) -> None:
        failed = FailedStart(mark=1, launch=Launch(("/bin/driver", "--port=1")))
        assert Trial.of_failed_start(failed) is None

    def test_ports_are_chosen_anew_and_logs_left_alone(self) -> None:
        values = {"--port": "7", "--log-path": None, "--profile-root": "/t"}
        command = ["d", "--port=1", "--log-path", "mine", "--profile-root", "/x", "--verbose"]
        expected = ["d", "--port=7", "--profile-root", "/t", "--verbose"]
        assert list(throwaway.replaced(command, values)) == expected
        assert throwaway.option(command, "--profile-root") == "/x"
        assert throwaway.option(command, "--port") == "1"
        assert throwaway.option(command, "--none") == ""

    def test_a_driver_that_does_not_exist_is_not_ready(self, tmp_path: Path) -> None:
        path = tmp_path / "driver"
        trial = Trial("it", {}, launch=Launch((str(path), "--port=1")))
        ready, why = trial.is_ready()
        assert (ready, str(path) in why) == (False, True)
        written(path, "exit 1")
        assert trial.is_ready() == (True, "")

    def test_it_is_either_here_or_elsewhere(self) -> None:
        with pytest.raises(ValueError, match="a way to a grid, or a driver"):
            Trial("it", {})


def slot(session_id: str, mark: str | None) -> dict[str, Any]:
    capabilities = {} if mark is None else {throwaway.MARK: mark}
    return {"session": {"sessionId": session_id, "capabilities": capabilities}}


class TestLeftovers:
    """Which sessions of a grid may be ended: only such as were made to be thrown away."""

    @pytest.mark.parametrize(
        ("mark", "over"),
        [
            (None, False),
            ("", False),
            ("somebody's own", False),
            ("ours until 99999999999", True),
            ("other until 99999999999", False),
            ("other until 1000", True),
        ],
        ids=["user", "empty", "strange", "this", "running", "too-old"],
    )
    def test_whose(self, mark: str | None, over: bool) -> None:
        status = Reply("ok", 200, {"nodes": [{"slots": [slot("s", mark), {"session": None}]}]})
        expected = ["s"] if over else []
        assert throwaway.leftovers(status, mark="ours until 99999999999") == expected

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "busy",
            {"nodes": None},
            {"nodes": [None, {}, {"slots": {}}, {"slots": [None, {"session": "s"}]}]},
            {"nodes": [{"slots": [{"session": {"sessionId": "s", "capabilities": None}}]}]},
        ],
        ids=["nothing", "text", "no-nodes", "odd-slots", "odd-session"],
    )
    def test_what_is_not_understood_is_left_alone(self, value: object) -> None:
        assert throwaway.leftovers(Reply("ok", 200, value), mark="ours") == []

    def test_one_that_is_only_being_started_cannot_be_ended(self) -> None:
        status = Reply("ok", 200, {"nodes": [{"slots": [slot("reserved", "ours")]}]})
        assert throwaway.leftovers(status, mark="ours") == []


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        pytest.param({}, "", id="nothing-known"),
        pytest.param({"grid": "ok"}, "", id="well"),
        pytest.param({"grid": ("busy", "2 of 2 nodes up, 0 slots free")}, "", id="busy"),
        pytest.param({"grid": ("misfit", "1 of 1 nodes up, 0 slots free")}, "", id="misfit"),
        pytest.param({"grid": ("dead", "1 of 1 nodes up")}, "", id="lost-the-session"),
        pytest.param(
            {"grid": ("empty", "0 of 1 nodes up, 0 slots free")},
            "the grid at X has no node that is up (0 of 1 nodes up, 0 slots free)",
            id="empty",
        ),
        pytest.param({"grid": "refused"}, "the grid at X refuses connections", id="refused"),
        pytest.param({"grid": "silent"}, "the grid at X does not answer", id="silent"),
        pytest.param({"grid": ("error", "HTTP 404 not found")}, "", id="no-status"),
        pytest.param(
            {"grid": ("error", "HTTP 503 unavailable")},
            "the grid at X is not behind its gateway (HTTP 503 unavailable)",
            id="gateway",
        ),
        pytest.param(
            {"grid": ("ok", "1 of 1 nodes up"), "node": ("refused", "http://n:1")},
            "the grid at X has no node that answers (http://n:1)",
            id="only-node-refuses",
        ),
        pytest.param(
            {"grid": ("ok", "2 of 2 nodes up"), "node": ("refused", "http://n:1")},
            "",
            id="one-of-two-refuses",
        ),
        pytest.param(
            {"grid": ("ok", "1 of 2 nodes up"), "node": ("dead", "http://n:1")},
            "",
            id="one-of-two-is-down",
        ),
        pytest.param({"node": "refused"}, "", id="others-unknown"),
        pytest.param({"browser_process": "gone", "session": "dead"}, "", id="one-browser"),
    ],
)
def test_what_needs_no_trial(answered: dict[str, Any], expected: str) -> None:
    """Only where the next session would fail, whatever it is."""
    pairs = {k: (v, "") if isinstance(v, str) else v for k, v in answered.items()}
    evidence = Evidence(ProbeResult(probe, *answer) for probe, answer in pairs.items())
    assert hard_down(evidence, "X") == expected


# On this machine


@pytest.fixture
def nothing_left(temporary: Path) -> Iterator[Callable[[], object]]:
    """A function that says what has come into the temporary directory, and who knows of it."""

    def left() -> object:
        return [*map(str, processes_of(temporary)), *map(str, temporary.iterdir())]

    yield left
    assert left() == []
    temporary.rmdir()


@pytest.mark.browser
class TestLocal:
    """Trials with real browsers on this machine."""

    def test_it_works_beside_a_living_browser_unseen(
        self, chrome: Chrome, registry: SessionRegistry, temporary: Path
    ) -> None:
        """That one has a profile and a debugging port of the user's; both stay its own."""
        profile = temporary / "profile"
        port = free_port()
        driver = chrome(f"--user-data-dir={profile}", f"--remote-debugging-port={port}")
        driver.get("data:text/html,<title>mine</title>")
        trial = trial_of(registry, driver)
        mark = registry.mark()
        assert trial.is_ready() == (True, "")
        assert timed(trial, AMPLE_S) == (True, "")
        assert (registry.mark(), len(registry.living())) == (mark, 1)
        assert registry.failed_starts_since(0) == []
        assert list(temporary.glob("pr-*")) == []
        assert driver.title == "mine"
        driver.quit()
        assert profile.exists()

    def test_the_recipe_outlives_driver_and_browser(
        self,
        chrome: Chrome,
        registry: SessionRegistry,
        nothing_left: Callable[[], object],
    ) -> None:
        driver = chrome()
        session = recorded(registry, driver)
        driver.quit()
        del driver
        gc.collect()
        assert session.driver is None
        trial = Trial.of_session(session)
        assert trial is not None
        assert timed(trial, AMPLE_S) == (True, "")
        assert timed(trial, AMPLE_S) == (True, "")
        assert nothing_left() == []

    def test_a_browser_that_did_not_start_is_tried_until_it_does(
        self,
        registry: SessionRegistry,
        chrome_options: Callable[..., Options],
        chrome_service: Callable[..., Service],
        tmp_path: Path,
        nothing_left: Callable[[], object],
    ) -> None:
        options = chrome_options()
        real, options.binary_location = options.binary_location, written(tmp_path / "b", "exit 7")
        with pytest.raises(WebDriverException):
            webdriver.Chrome(options=options, service=chrome_service())
        (failed,) = registry.failed_starts_since(0)
        trial = Trial.of_failed_start(failed)
        assert trial is not None
        worked, why = timed(trial, AMPLE_S)
        assert (worked, why.startswith("no session was started: ")) == (False, True), why
        assert nothing_left() == []
        written(tmp_path / "b", f'exec "{real}" "$@"')
        assert timed(trial, AMPLE_S) == (True, "")

    @pytest.mark.parametrize(
        ("part", "text"),
        [
            pytest.param("driver", "sleep 600 & sleep 600", id="driver"),
            pytest.param("browser", "sleep 600 & sleep 600", id="browser"),
            # It leaves the process group of its driver, and its parent dies.
            pytest.param("browser", "setsid sh -c 'sleep 600; :' x \"$@\" &", id="detached"),
            pytest.param("browser", "setsid sleep 600 &", id="nameless"),
        ],
    )
    def test_what_never_answers_is_ended_in_time(
        self,
        part: str,
        text: str,
        tmp_path: Path,
        nothing_left: Callable[[], object],
    ) -> None:
        """Together with whatever it has started."""
        asleep = written(tmp_path / "asleep", text)
        driver = asleep if part == "driver" else found("chromedriver")
        trial = self.trial(driver, asleep)
        assert timed(trial, SHORT_S)[0] is False
        assert nothing_left() == []

    @pytest.mark.parametrize(
        ("text", "said"),
        [("exit 3", "the driver ended at once, with status 3"), (None, "cannot be started: ")],
        ids=["ends", "missing"],
    )
    def test_a_driver_that_is_of_no_use_is_named(
        self, text: str | None, said: str, tmp_path: Path, nothing_left: Callable[[], object]
    ) -> None:
        driver = written(tmp_path / "driver", text) if text else str(tmp_path / "none")
        worked, why = timed(self.trial(driver, "browser"), AMPLE_S)
        assert (worked, said in why) == (False, True), why
        assert nothing_left() == []

    def test_a_stopped_driver_is_ended_too(
        self, tmp_path: Path, nothing_left: Callable[[], object]
    ) -> None:
        driver = written(tmp_path / "stopped", "kill -STOP $$")
        assert timed(self.trial(driver, "browser"), SHORT_S)[0] is False
        assert nothing_left() == []

    def test_it_can_be_cancelled(
        self,
        temporary: Path,
        tmp_path: Path,
        eventually: Eventually,
        nothing_left: Callable[[], object],
    ) -> None:
        """From another thread, and for good; when `cancel` returns, nothing is left."""
        asleep = written(tmp_path / "asleep", "sleep 600")
        trial = self.trial(found("chromedriver"), asleep)
        answers: list[tuple[bool, str]] = []
        thread = threading.Thread(target=lambda: answers.append(trial.succeeds(600)))
        thread.start()
        assert eventually(lambda: any("sleep" in str(p) for p in processes_of(temporary)))
        trial.cancel()
        assert nothing_left() == []
        thread.join(FAR_TOO_LONG_S)
        assert answers == [(False, "it was cancelled")]
        assert trial.succeeds(600) == (False, "it was cancelled")
        trial.cancel()

    def test_two_at_once_are_not_begun(
        self,
        temporary: Path,
        tmp_path: Path,
        eventually: Eventually,
        nothing_left: Callable[[], object],
    ) -> None:
        trial = self.trial(written(tmp_path / "asleep", "sleep 600"), "browser")
        thread = threading.Thread(target=trial.succeeds, args=(600,))
        thread.start()
        assert eventually(lambda: processes_of(temporary))
        worked, why = trial.succeeds(600)
        assert (worked, "already" in why) == (False, True)
        trial.cancel()
        thread.join(FAR_TOO_LONG_S)
        assert nothing_left() == []

    @pytest.mark.parametrize(
        ("ending", "said"),
        [
            # Its thread is one that nobody waits for, and nobody has cancelled it.
            pytest.param(
                "threading.Thread(target=trial.succeeds, args=(600,), daemon=True).start(); wait()",
                "",
                id="exit",
            ),
            pytest.param(
                "threading.Thread(target=interrupt).start(); trial.succeeds(600)",
                "KeyboardInterrupt",
                id="ctrl-c",
            ),
        ],
    )
    def test_nothing_is_left_when_the_process_ends_meanwhile(
        self,
        ending: str,
        said: str,
        temporary: Path,
        tmp_path: Path,
        nothing_left: Callable[[], object],
    ) -> None:
        asleep = written(tmp_path / "asleep", "sleep 600")
        done = subprocess.run(
            [sys.executable, "-c", ENDING + ending, found("chromedriver"), asleep, str(temporary)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TMPDIR": str(temporary)},
            timeout=FAR_TOO_LONG_S,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert done.stderr.strip().splitlines()[-1:] == [said] * bool(said)
        assert nothing_left() == []

    def test_a_firefox_can_be_tried_as_well(
        self, firefox: Callable[[], webdriver.Firefox], registry: SessionRegistry, temporary: Path
    ) -> None:
        driver = firefox()
        trial = trial_of(registry, driver)
        assert timed(trial, AMPLE_S) == (True, "")
        assert list(temporary.glob("pr-*")) == []
        driver.quit()

    def trial(self, driver: str, browser: str) -> Trial:
        requested = {"goog:chromeOptions": {"args": list(CHROME_ARGUMENTS), "binary": browser}}
        launch = Launch((driver, "--port=1"))
        trial = Trial.of_failed_start(FailedStart(mark=1, requested=requested, launch=launch))
        assert trial is not None
        return trial


ENDING = """
import os, signal, sys, threading, time
from pathlib import Path
from pytest_resilience.browser.starts import FailedStart, Launch
from pytest_resilience.browser.trial import Trial
from tests.acceptance.inner import processes_of

driver, browser, temporary = sys.argv[1:]
requested = {"goog:chromeOptions": {"binary": browser}}
failed = FailedStart(mark=1, requested=requested, launch=Launch((driver, "--port=1")))
trial = Trial.of_failed_start(failed)

def wait():
    while not any("sleep" in str(p) for p in processes_of(Path(temporary))):
        time.sleep(0.05)

def interrupt():
    wait()
    os.kill(os.getpid(), signal.SIGINT)

"""


# Behind a Grid that does not notice when nobody waits any more


class OldGrid:
    """Something that answers like a Grid, and goes on with a request that was given up.

    Attributes:
        sessions: The capabilities of those that hold a slot, by their number.
        held: Keeps sessions from being started until it is set.
        looked_at: Whether being looked at sets it, once a session was asked for.
        status: The HTTP status its `/status` is answered with.
        nodes: What it says of its nodes, None for the truth.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.held = threading.Event()
        self.held.set()
        self.looked_at = False
        self.status = 200
        self.nodes: object = None
        self._asked, self._started = threading.Event(), threading.Event()
        grid = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if grid.looked_at and grid._asked.is_set():
                    grid.held.set()
                    grid._started.wait(FAR_TOO_LONG_S)
                slots = [
                    {"session": {"sessionId": name, "capabilities": capabilities}}
                    for name, capabilities in list(grid.sessions.items())
                ]
                free = {"session": None, "stereotype": {"browserName": "chrome"}}
                nodes = [{"availability": "UP", "slots": [*slots, free]}]
                self._answer({"ready": True, "nodes": grid.nodes or nodes}, grid.status)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                request = json.loads(self.rfile.read(length))
                if self.path != "/session":
                    self._answer(1)
                    return
                grid._asked.set()
                grid.held.wait(FAR_TOO_LONG_S)
                name = str(len(grid.sessions))
                grid.sessions[name] = request["capabilities"]["alwaysMatch"]
                grid._started.set()
                self._answer({"sessionId": name, "capabilities": {}})

            def do_DELETE(self) -> None:
                grid.sessions.pop(self.path.rpartition("/")[2], None)
                self._answer(None)

            def _answer(self, value: object, status: int = 200) -> None:
                body = json.dumps({"value": value}).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.held.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def old_grid() -> Iterator[tuple[OldGrid, Trial]]:
    grid = OldGrid()
    requested = {"browserName": "chrome"}
    failed = FailedStart(
        mark=1, endpoint=grid.url, wire=Wire(grid.url), remote=True, requested=requested
    )
    trial = Trial.of_failed_start(failed)
    assert trial is not None
    yield grid, trial
    grid.close()


class TestOldGrid:
    """What such a Grid starts in vain is ended all the same."""

    def test_it_succeeds(self, old_grid: tuple[OldGrid, Trial]) -> None:
        grid, trial = old_grid
        assert (trial.is_ready(), trial.succeeds(AMPLE_S)) == ((True, ""), (True, ""))
        assert grid.sessions == {}

    def test_a_session_that_comes_a_little_late_is_ended_at_once(
        self, old_grid: tuple[OldGrid, Trial]
    ) -> None:
        grid, trial = old_grid
        grid.sessions["user"], grid.looked_at = {"browserName": "chrome"}, True
        grid.held.clear()
        assert trial.succeeds(0.5) == (False, "no working session within 0.5 s")
        assert list(grid.sessions) == ["user"]

    def test_one_that_comes_much_later_is_ended_when_its_time_is_over(
        self,
        old_grid: tuple[OldGrid, Trial],
        eventually: Eventually,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """By the next question whether another trial is worth while."""
        monkeypatch.setattr(throwaway, "_CLOCKS_S", 0)
        grid, trial = old_grid
        grid.sessions["user"] = {"browserName": "chrome"}
        grid.held.clear()
        assert trial.succeeds(2.0)[0] is False
        grid.held.set()
        assert eventually(lambda: len(grid.sessions) == 2)
        assert eventually(lambda: trial.is_ready()[0] and list(grid.sessions) == ["user"])

    def test_one_that_does_not_tell_its_sessions_gets_the_benefit_of_the_doubt(
        self, old_grid: tuple[OldGrid, Trial]
    ) -> None:
        grid, trial = old_grid
        grid.status = 404
        assert trial.is_ready() == (True, "")
        grid.status = 503
        assert trial.is_ready()[0] is False

    @pytest.mark.parametrize("nodes", [[None], ["up"], [{"availability": "UP", "slots": 3}]])
    def test_one_that_cannot_be_understood_is_not_ready(
        self, nodes: object, old_grid: tuple[OldGrid, Trial]
    ) -> None:
        grid, trial = old_grid
        grid.nodes = nodes
        assert trial.is_ready()[0] is False
        assert trial.succeeds(AMPLE_S) == (True, "")


# Behind a real Grid


class Behind:
    """A real Grid, and the trial of a session of it."""

    def __init__(self, folder: Path, temporary: Path, *arguments: str, slots: int = 0) -> None:
        self.temporary = temporary
        self.grid = Grid(folder, temporary, *arguments, slots=slots)

    def trial(self, browser: str = "chrome", binary: str = "") -> Trial:
        """Return how a Chromium is tried that nobody has started yet."""
        requested = {
            "browserName": browser,
            "goog:chromeOptions": {
                "args": list(CHROME_ARGUMENTS),
                "binary": binary or found("chromium", "chromium-browser", "google-chrome"),
            },
        }
        failed = FailedStart(
            mark=1,
            browser=browser,
            endpoint=self.grid.url,
            wire=Wire(self.grid.url),
            remote=True,
            requested=requested,
        )
        trial = Trial.of_failed_start(failed)
        assert trial is not None
        return trial

    def taken(self) -> list[str]:
        """Return the sessions that hold a slot, and the browsers that live."""
        held = [
            slot["session"]["sessionId"]
            for node in self.grid.nodes_up()
            for slot in node["slots"]
            if slot["session"]
        ]
        found = map(str, processes_of(self.temporary))
        return [*held, *(text for text in found if "chrom" in text)]


@contextlib.contextmanager
def behind(folder: Path, *arguments: str, slots: int = 0) -> Iterator[Behind]:
    temporary = Path(tempfile.mkdtemp(prefix="pr-"))
    place = Behind(folder, temporary, *arguments, slots=slots)
    try:
        yield place
    finally:
        place.grid.close()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A server with a single slot for a Chromium."""
    with behind(tmp_path_factory.mktemp("standalone"), slots=1) as place:
        yield place


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Behind]:
    """A hub and a node, of which either may be lost."""
    # Otherwise it looks after its nodes every two minutes.
    with behind(tmp_path, "--healthcheck-interval", "5") as place:
        place.grid.add_node()
        yield place


@pytest.fixture
def occupied(standalone: Behind) -> Iterator[webdriver.Remote]:
    """A user's session, which takes the only slot."""
    options = Options()
    for argument in CHROME_ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = found("chromium", "chromium-browser", "google-chrome")
    driver = webdriver.Remote(standalone.grid.url, options=options)
    yield driver
    with contextlib.suppress(WebDriverException):
        driver.quit()


@pytest.mark.browser
class TestGrid:
    """Trials behind a real Grid, whatever part of it works."""

    def test_it_works_and_takes_no_slot_for_longer(
        self, standalone: Behind, eventually: Eventually
    ) -> None:
        trial = standalone.trial()
        for _ in range(2):
            assert trial.is_ready() == (True, "")
            assert timed(trial, AMPLE_S) == (True, "")
            assert eventually(lambda: standalone.taken() == [])

    def test_a_session_of_a_user_is_tried_like_it_was_asked_for(
        self, standalone: Behind, registry: SessionRegistry, eventually: Eventually
    ) -> None:
        """Also when it has ended, and the registry sees nothing of it."""
        options = Options()
        for argument in CHROME_ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = found("chromium", "chromium-browser", "google-chrome")
        driver = webdriver.Remote(standalone.grid.url, options=options)
        trial = trial_of(registry, driver)
        assert trial.is_ready()[1].startswith("all slots are taken: ")
        driver.quit()
        assert eventually(lambda: trial.is_ready()[0])
        mark = registry.mark()
        assert timed(trial, AMPLE_S) == (True, "")
        assert (registry.mark(), registry.living()) == (mark, [])
        assert eventually(lambda: standalone.taken() == [])

    def test_what_no_node_has_is_not_ready(self, standalone: Behind) -> None:
        ready, why = standalone.trial("MicrosoftEdge").is_ready()
        assert (ready, why.partition(":")[0]) == (False, "no node has such a browser")

    def test_a_request_that_is_still_queued_is_taken_back(
        self, standalone: Behind, occupied: webdriver.Remote, eventually: Eventually
    ) -> None:
        """The user's session keeps the slot, and nobody gets it when that one has ended."""
        trial = standalone.trial()
        assert timed(trial, SHORT_S) == (False, f"no working session within {SHORT_S:g} s")
        assert occupied.title is not None
        assert len(standalone.grid.nodes_up()) == 1
        occupied.quit()
        assert eventually(lambda: standalone.taken() == [])
        # A request that was still in the queue would get a session now.
        assert not eventually(standalone.taken, within_s=3)

    def test_a_queued_request_can_be_cancelled(
        self, standalone: Behind, occupied: webdriver.Remote, eventually: Eventually
    ) -> None:
        trial = standalone.trial()
        answers: list[tuple[bool, str]] = []
        thread = threading.Thread(target=lambda: answers.append(trial.succeeds(600)))
        thread.start()
        time.sleep(1)
        trial.cancel()
        thread.join(FAR_TOO_LONG_S)
        assert answers == [(False, "it was cancelled")]
        occupied.quit()
        assert eventually(lambda: standalone.taken() == [])
        assert not eventually(standalone.taken, within_s=3)

    def test_a_session_that_comes_late_is_ended(
        self, standalone: Behind, tmp_path: Path, eventually: Eventually
    ) -> None:
        """The browser is being started when the time is over."""
        real = found("chromium", "chromium-browser", "google-chrome")
        slow = written(tmp_path / "slow", f'sleep {SHORT_S:g}; exec "{real}" "$@"')
        trial = standalone.trial(binary=slow)
        assert timed(trial, SHORT_S - 1)[0] is False
        assert eventually(lambda: standalone.taken() == [])
        assert not eventually(standalone.taken, within_s=3)
        assert timed(trial, AMPLE_S) == (True, "")

    def test_whatever_is_cut_at_any_moment_leaves_nothing(
        self, standalone: Behind, eventually: Eventually
    ) -> None:
        for limit_s in (0.1, 0.5, 0.9, 1.3):
            timed(standalone.trial(), limit_s)
            assert eventually(lambda: standalone.taken() == []), limit_s

    def test_a_killed_node_is_no_session_and_later_not_even_a_try(
        self, parts: Behind, eventually: Eventually
    ) -> None:
        trial = parts.trial()
        node = parts.grid.nodes[0]
        node.kill()
        node.wait(60)
        worked, why = timed(trial, SHORT_S)
        assert (worked, why != "") == (False, True)
        assert eventually(lambda: not trial.is_ready()[0], within_s=120)
        assert trial.is_ready()[1].startswith("no node is up: 0 of ")
        parts.grid.add_node()
        assert trial.is_ready() == (True, "")
        assert timed(trial, AMPLE_S) == (True, "")

    def test_a_stopped_node_costs_the_limit_and_no_slot_when_it_goes_on(
        self, parts: Behind, eventually: Eventually
    ) -> None:
        trial = parts.trial()
        with stopped(parts.grid.nodes[0].pid):
            assert timed(trial, SHORT_S) == (False, f"no working session within {SHORT_S:g} s")
        assert eventually(lambda: trial.is_ready()[0] and parts.taken() == [], within_s=120)
        assert timed(trial, AMPLE_S) == (True, "")

    def test_a_stopped_hub_costs_seconds_and_no_slot_when_it_goes_on(
        self, parts: Behind, eventually: Eventually
    ) -> None:
        trial = parts.trial()
        with stopped(parts.grid.hub.pid):
            ready, why = trial.is_ready()
            assert not ready
            # Whichever of its two limits is over first.
            assert why.startswith(("it does not answer", "no answer within")), why
            assert timed(trial, SHORT_S)[0] is False
        assert eventually(lambda: trial.is_ready()[0], within_s=120)
        assert parts.taken() == []

    def test_a_hub_that_stops_in_the_middle_costs_the_limit(
        self, parts: Behind, tmp_path: Path, eventually: Eventually
    ) -> None:
        """And nothing is left when it goes on, at the latest after the next trial."""
        real = found("chromium", "chromium-browser", "google-chrome")
        slow = written(tmp_path / "slow", f'sleep {SHORT_S + 1:g}; exec "{real}" "$@"')
        trial = parts.trial(binary=slow)
        answers: list[tuple[bool, str]] = []
        thread = threading.Thread(target=lambda: answers.append(timed(trial, SHORT_S)))
        thread.start()
        time.sleep(1)
        with stopped(parts.grid.hub.pid):
            thread.join(FAR_TOO_LONG_S)
        assert answers == [(False, f"no working session within {SHORT_S:g} s")]
        assert eventually(lambda: trial.is_ready()[0] and parts.taken() == [], within_s=120)

    def test_a_killed_hub_refuses(self, parts: Behind) -> None:
        trial = parts.trial()
        parts.grid.hub.send_signal(signal.SIGKILL)
        parts.grid.hub.wait(60)
        ready, why = trial.is_ready()
        assert (ready, why.partition(":")[0]) == (False, "nobody listens there")
        worked, why = timed(trial, AMPLE_S)
        assert (worked, "refused" in why) == (False, True), why


@pytest.mark.browser
def test_a_driver_somebody_else_has_started_can_be_tried(
    registry: SessionRegistry, chrome_service: Callable[..., Service]
) -> None:
    """It is no grid: it gets the request without a mark it might not like."""
    registry.unwatch()
    service = chrome_service()
    service.start()
    try:
        requested = {"goog:chromeOptions": {"args": list(CHROME_ARGUMENTS)}}
        url = service.service_url
        failed = FailedStart(mark=1, endpoint=url, wire=Wire(url), requested=requested)
        trial = Trial.of_failed_start(failed)
        assert trial is not None
        assert trial.is_ready() == (True, "")
        assert timed(trial, AMPLE_S) == (True, "")
    finally:
        service.stop()


def recorded(registry: SessionRegistry, driver: object) -> DriverSession:
    session = registry.session_of(driver)
    assert session is not None
    return session


@pytest.mark.browser
def test_how_a_driver_was_started_is_recorded(
    chrome: Chrome, registry: SessionRegistry, tmp_path: Path
) -> None:
    """With the user's arguments, environment and options, apart from the keywords we add."""
    surroundings = {**os.environ, "MINE": "1"}
    driver = chrome(
        service_args=["--verbose"],
        log_output=str(tmp_path / "driver.log"),
        env=surroundings,
        popen_kw={"cwd": str(tmp_path)},
    )
    launch = recorded(registry, driver).launch
    driver.quit()
    assert launch is not None
    assert launch.command[0] == found("chromedriver")
    assert "--verbose" in launch.command
    assert (launch.environment, launch.keywords) == (surroundings, {"cwd": str(tmp_path)})
    log = (tmp_path / "driver.log").read_bytes()
    trial = Trial.of_session(registry.used_since(0)[0])
    assert trial is not None
    assert timed(trial, AMPLE_S) == (True, "")
    assert (tmp_path / "driver.log").read_bytes() == log
