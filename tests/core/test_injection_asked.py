"""What is asked for, by marker and option, and what it does in a session."""

from __future__ import annotations

import contextlib
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.injection import FailureType, Intensity, Need, Platform, find
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.core.injection_points import Point
from pytest_resilience.exceptions import ConfigurationError
from tests.core.injections import CRASH, asked

#: Pieces of what people write, in any order.
pieces = ["crash", "api_error", "mild", "severe", ":", "@", "setup", "during", "3", "get", " ", "é"]
texts = st.lists(st.sampled_from(pieces), max_size=7).map("".join) | st.text()


class TestArguments:
    """Of the marker."""

    @pytest.mark.parametrize(
        ("args", "kwargs", "expected"),
        [
            (("crash",), {}, CRASH),
            ((FailureType.CRASH,), {"intensity": Intensity.MODERATE}, CRASH),
            ((), {"type": " Crash "}, CRASH),
            (("crash", "severe"), {}, Injection(FailureType.CRASH, Intensity.SEVERE)),
            (("crash",), {"at": "setup"}, Injection(FailureType.CRASH, point=Point("setup"))),
            (("crash",), {"times": 2}, Injection(FailureType.CRASH, times=2)),
            (("crash",), {"probability": 0}, Injection(FailureType.CRASH, probability=0)),
            (("crash",), {"simulated": True}, Injection(FailureType.CRASH, simulated=True)),
            (
                ("crash",),
                {"after_commands": 3},
                Injection(FailureType.CRASH, point=Point("after", number=3)),
            ),
            (
                ("crash",),
                {"command": "get"},
                Injection(FailureType.CRASH, point=Point("before", command="get")),
            ),
            (
                ("crash",),
                {"command": "get", "at": "during"},
                Injection(FailureType.CRASH, point=Point("during", command="get")),
            ),
            (("crash",), {"command": None, "after_commands": None, "at": "call"}, CRASH),
        ],
        ids=str,
    )
    def test_they_are_understood(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], expected: Injection
    ) -> None:
        assert Injection.from_arguments(args, kwargs) == expected

    @pytest.mark.parametrize(
        ("args", "kwargs", "told"),
        [
            ((), {}, ["no type is given", "connection_failure, resource_exhaustion"]),
            (("crsh",), {}, ["unknown type 'crsh'", "hang, driver_crash", "Did you mean 'crash'?"]),
            ((3,), {}, ["unknown type 3", "crash"]),
            ((["crash"],), {}, ["unknown type ['crash']"]),
            (
                ("crash", "sever"),
                {},
                ["unknown intensity 'sever'", "mild, moderate, severe", "Did you mean 'severe'?"],
            ),
            (("crash",), {"intensity": None}, ["unknown intensity None"]),
            (
                ("crash",),
                {"probabilty": 1},
                ["no argument 'probabilty'", "type, intensity, at", "Did you mean 'probability'?"],
            ),
            (("crash",), {"type": "hang"}, ["'type' is given twice"]),
            (tuple("123456789"), {}, ["9 arguments are too many", "simulated"]),
            *(
                (("crash",), {"times": wrong}, [f"times={wrong!r}", "1 or more"])
                for wrong in (0, -1, 1.0, "2", True, None)
            ),
            *(
                (("crash",), {"probability": wrong}, [f"probability={wrong!r}", "0 to 1"])
                for wrong in (-0.1, 1.1, math.nan, math.inf, "1", True, None)
            ),
            *(
                (("crash",), {"after_commands": wrong}, ["after_commands=", "1 or more"])
                for wrong in (0, -3, 1.5, "1", True)
            ),
            (("crash",), {"command": ""}, ["command='' is not valid"]),
            (("crash",), {"command": 3}, ["command=3 is not valid"]),
            (("crash",), {"command": "gett"}, ["unknown WebDriver command 'gett'", "'get'?"]),
            (("crash",), {"command": "get", "after_commands": 1}, ["exclude each other"]),
            (
                ("crash",),
                {"command": "get", "at": "setup"},
                ["at='setup' and command exclude each other", "before or after or during"],
            ),
            (("crash",), {"after_commands": 1, "at": "before"}, ["exclude each other", "at is af"]),
            (("crash",), {"at": 3}, ["at=3 is not valid", "setup, call, teardown"]),
            (("crash",), {"at": "cal"}, ["'cal' is not a point", "Did you mean 'call'?"]),
            (("crash",), {"simulated": 1}, ["simulated=1", "True or False"]),
            (
                ("api_error",),
                {"at": "during:get"},
                ["api_error:moderate cannot strike during a command", "crash:mild/moderate/severe"],
            ),
            (
                ("hang", "mild"),
                {"simulated": True},
                ["hang:mild cannot be simulated", "hang:moderate/severe"],
            ),
        ],
        ids=str,
    )
    def test_wrong_ones_are_refused_with_the_valid_ones(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], told: list[str]
    ) -> None:
        with pytest.raises(ConfigurationError) as refusal:
            Injection.from_arguments(args, kwargs)
        for part in told:
            assert part in refusal.value.message


class TestOption:
    """``TYPE[:INTENSITY][@POINT]``."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("crash", "crash:moderate@call"),
            (" crash:severe ", "crash:severe@call"),
            ("crash@setup:driver", "crash:moderate@setup:driver"),
            ("hang:mild@during:3", "hang:mild@during:3"),
            ("api_error@before:find_element", "api_error:moderate@before:findElement"),
        ],
    )
    def test_it_is_understood(self, text: str, expected: str) -> None:
        injection = Injection.parse(text)
        assert str(injection) == expected
        assert injection.source == "--inject-failure"

    @given(asked)
    def test_what_is_written_is_read_again(self, injection: Injection) -> None:
        read = Injection.parse(str(injection))
        assert (read.type, read.intensity, read.point) == (
            injection.type,
            injection.intensity,
            injection.point,
        )

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "unknown type ''"),
            ("gpu-error", "Did you mean 'gpu_error'?"),
            ("crash:", "unknown intensity ''"),
            ("crash:strong", "valid ones: mild, moderate, severe"),
            ("crash@", "'' is not a point"),
            ("crash@before:0", "is not a point"),
            ("api_error@during:1", "cannot strike during a command"),
        ],
    )
    def test_a_wrong_one_is_refused_and_named(self, text: str, told: str) -> None:
        with pytest.raises(ConfigurationError) as refusal:
            Injection.parse(text, source="ini key inject_failure")
        assert refusal.value.message.startswith(f"ini key inject_failure: {text!r} is not valid: ")
        assert told in refusal.value.message
        assert "TYPE[:INTENSITY][@POINT]" in refusal.value.message

    @given(texts)
    def test_any_text_is_an_injection_or_refused(self, text: str) -> None:
        with contextlib.suppress(ConfigurationError):
            injection = Injection.parse(text)
            assert Injection.parse(str(injection)) == injection


class TestFault:
    """What an injection does in a session."""

    def test_it_is_that_of_the_catalogue(self) -> None:
        assert CRASH.fault(Platform.CHROMIUM) == find(
            FailureType.CRASH, Intensity.MODERATE, Platform.CHROMIUM
        )

    def test_what_is_not_possible_is_refused_with_what_is(self) -> None:
        with pytest.raises(ConfigurationError, match=r"on no browser; .*internal_error:mild"):
            CRASH.fault(Platform.NO_BROWSER)

    def test_what_strikes_during_a_command_elsewhere_is_refused_where_it_cannot(self) -> None:
        """A page of a Firefox ends by a signal, a tab of a Chromium by a command."""
        injection = Injection(FailureType.CRASH, point=Point("during", number=1))
        assert injection.fault(Platform.FIREFOX).name == "kill_content_process"
        with pytest.raises(ConfigurationError, match=r"only before or after.*crash:mild/severe"):
            injection.fault(Platform.CHROMIUM)

    def test_a_simulation_needs_no_browser(self) -> None:
        injection = Injection(FailureType.CRASH, Intensity.SEVERE, simulated=True)
        for platform in Platform:
            assert injection.fault(platform).simulation is not None
        assert "marionette" in str(injection.fault(Platform.FIREFOX).simulation)

    def test_what_a_fault_needs_is_asked_for(self) -> None:
        injection = Injection(FailureType.WORKER_CRASH)
        assert injection.fault(Platform.CHROMIUM).name == "exit_worker"
        assert injection.fault(Platform.CHROMIUM, {Need.XDIST}).name == "exit_worker"
        with pytest.raises(ConfigurationError, match="needs tests that run in workers"):
            injection.fault(Platform.CHROMIUM, {Need.WEBGL})

    def test_it_crosses_to_workers_unchanged(self) -> None:
        injection = Injection(FailureType.HANG, point=Point("during", command="get"), times=2)
        assert pickle.loads(pickle.dumps(injection)) == injection
