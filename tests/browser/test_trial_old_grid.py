"""Trials behind a Grid that goes on with requests nobody waits for any more."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_resilience.browser import throwaway
from pytest_resilience.browser.starts import FailedStart
from pytest_resilience.browser.trial import Trial
from pytest_resilience.browser.wire import Wire
from tests.browser.chromium import FAR_TOO_LONG_S, Eventually
from tests.browser.trials import AMPLE_S

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
