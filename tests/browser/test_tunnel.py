"""What is asked of a browser through a grid: answers, late ones, none, and who computes by them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_resilience.browser.devtools import Devtools
from pytest_resilience.browser.loads import SHARE_GOT, Load
from pytest_resilience.browser.tunnel import FarProcesses, Tunnel

#: As a Chromium tells it.
TOLD = {
    "processInfo": [
        {"type": "browser", "id": 1, "cpuTime": 9.5},
        {"type": "renderer", "id": 4, "cpuTime": 0.25},
        {"type": "renderer", "id": 5, "cpuTime": 0},
        {"type": "GPU", "id": 2, "cpuTime": 0.5},
        {"type": "network.mojom.NetworkService", "id": 3, "cpuTime": 0.1},
    ]
}


class Socket:
    """Answers each question by what `answer` makes of it, in the order they are asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], list[Any]]) -> None:
        self._answer = answer
        self._due: list[Any] = []

    def send(self, text: str) -> None:
        self._due += self._answer(json.loads(text))

    def settimeout(self, _seconds: float) -> None:
        pass

    def recv(self) -> str:
        if not self._due:
            raise TimeoutError("timed out")
        return json.dumps(self._due.pop(0))


def through(socket: Socket) -> Tunnel:
    return Tunnel(Devtools(socket))


def answering(result: object) -> Tunnel:
    return through(Socket(lambda asked: [{"id": asked["id"], "result": result}]))


def test_the_processes_are_told_apart() -> None:
    found = answering(TOLD).processes(limit_s=1)
    assert found == FarProcesses({4: 0.25, 5: 0.0}, frozenset({2}))


@pytest.mark.parametrize(
    "tunnel",
    [
        pytest.param(through(Socket(lambda _asked: [])), id="silent"),
        pytest.param(answering({}), id="nothing"),
        pytest.param(answering({"processInfo": [{"type": "GPU"}]}), id="something-else"),
        pytest.param(
            through(Socket(lambda asked: [{"id": asked["id"], "error": {"code": -32601}}])),
            id="no-such-command",
        ),
    ],
)
def test_what_does_not_tell_its_processes_is_not_known(tunnel: Tunnel) -> None:
    """And nobody takes it for a browser without any."""
    assert tunnel.processes(limit_s=1) is None


def test_a_late_answer_is_not_taken_for_that_to_the_next_question() -> None:
    asked: list[int] = []

    def late(question: dict[str, Any]) -> list[Any]:
        asked.append(question["id"])
        # The first one is answered together with the second.
        results = {1: {"product": "late"}, 2: {"product": "Chrome/1"}}
        return [{"id": n, "result": results[n]} for n in asked] if len(asked) == 2 else []

    tunnel = through(Socket(late))
    assert tunnel.ask(limit_s=1)[0] == "silent"
    assert tunnel.ask(limit_s=1) == ("ok", "Chrome/1")


def test_one_question_waits_for_the_other() -> None:
    """Or each would read what the other one waits for."""
    begun, finish = threading.Event(), threading.Event()

    def slowly(question: dict[str, Any]) -> list[Any]:
        begun.set()
        finish.wait(60)
        return [{"id": question["id"], "result": TOLD}]

    tunnel = through(Socket(slowly))
    told: list[object] = []
    asking = threading.Thread(target=lambda: told.append(tunnel.processes(limit_s=60)))
    asking.start()
    try:
        assert begun.wait(60)
        assert tunnel.ask(limit_s=0.05)[0] == "silent"
    finally:
        finish.set()
        asking.join(60)
    assert isinstance(told[0], FarProcesses)
    assert tunnel.ask(limit_s=60)[0] == "ok"


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        pytest.param({2}, {2}, False, id="the-same"),
        pytest.param({2}, {7}, True, id="another"),
        pytest.param({2}, {}, False, id="none-yet"),
        pytest.param({}, {7}, False, id="none-before"),
        pytest.param(None, {7}, False, id="not-known-before"),
    ],
)
def test_graphics_are_new_only_if_others_were_known(
    before: set[int] | None, now: set[int], new: bool
) -> None:
    tunnel = answering(TOLD)
    if before is not None:
        tunnel.begun_with = FarProcesses({}, frozenset(before))
    assert tunnel.has_new_graphics(FarProcesses({}, frozenset(now))) is new


@pytest.mark.parametrize(
    ("before", "now", "busy"),
    [
        pytest.param({4: 1.0, 5: 2.0}, {4: 1.0, 5: 9000.0}, "pid 5", id="one-computes"),
        pytest.param({4: 1.0}, {4: 1.0}, "", id="nobody-computes"),
        pytest.param({4: 1.0}, {}, "", id="it-is-gone"),
        pytest.param({4: 1.0}, {4: 1.0, 6: 9000.0}, "", id="it-was-not-known"),
        pytest.param({}, {6: 9000.0}, "", id="nothing-was-known"),
    ],
)
def test_busy_is_who_has_computed_in_between(
    before: dict[int, float], now: dict[int, float], busy: str
) -> None:
    found = Load(before, lambda: now, SHARE_GOT).busy()
    assert (found.detail.split(",")[0] if found is not None else "") == busy
    assert found is None or (found.probe, found.answer) == ("renderer_process", "busy")
