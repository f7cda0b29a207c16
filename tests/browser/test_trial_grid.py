"""Trials behind a real Grid, whatever part of it works."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.browser.starts import FailedStart
from pytest_resilience.browser.trial import Trial
from pytest_resilience.browser.wire import Wire
from tests.acceptance.grid import Grid, stopped
from tests.acceptance.inner import processes_of
from tests.browser.chromium import FAR_TOO_LONG_S, Eventually
from tests.browser.conftest import CHROME_ARGUMENTS, found
from tests.browser.trials import AMPLE_S, SHORT_S, timed, trial_of, written

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
        assert eventually(lambda: trial.is_ready()[0] and parts.taken() == [], within_s=120)

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
