"""Whether a session could be had again: what is asked, and what may be ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.browser import throwaway
from pytest_resilience.browser.starts import FailedStart, Launch
from pytest_resilience.browser.trial import Trial, hard_down, request_like
from pytest_resilience.browser.wire import Reply
from pytest_resilience.core.evidence import Evidence, ProbeResult
from tests.browser.trials import written


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
