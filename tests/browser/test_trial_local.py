"""Trials on this machine: a driver and a browser that are thrown away, and nothing is left."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.browser.starts import FailedStart, Launch
from pytest_resilience.browser.trial import Trial
from pytest_resilience.browser.wire import Wire
from tests.acceptance.inner import processes_of
from tests.browser.chromium import FAR_TOO_LONG_S, Chrome, Eventually, session_of
from tests.browser.conftest import CHROME_ARGUMENTS, found
from tests.browser.trials import AMPLE_S, SHORT_S, timed, trial_of, written
from tests.ports import free_port

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
        session = session_of(registry, driver)
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
    launch = session_of(registry, driver).launch
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
