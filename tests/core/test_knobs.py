"""The knobs: what a test gets after it ran out of something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core import knobs
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.evidence import HOST, OK, SHORT, ProbeResult
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.plugin.knobs import Knobs

HOST_SHORT = ProbeResult(HOST, SHORT, "memory: 3 MiB", 0.0).to_dict()
HOST_FINE = ProbeResult(HOST, OK, "", 0.0).to_dict()


@pytest.mark.parametrize(
    ("default", "sizes"),
    [(64, [64, 32, 16, 8]), (5, [5, 2, 1, 1]), (1, [1, 1, 1, 1])],
)
def test_a_batch_is_halved_for_each_shortage(default: int, sizes: list[int]) -> None:
    assert [knobs.batch_size(default, shortages) for shortages in range(4)] == sizes


@given(st.integers(1, 10**6), st.integers(0, 200))
def test_a_batch_never_grows_and_is_never_empty(default: int, shortages: int) -> None:
    sizes = [knobs.batch_size(default, n) for n in (0, shortages, shortages + 1)]
    assert sizes[0] == default
    assert sizes[0] >= sizes[1] >= sizes[2] >= 1


@pytest.mark.parametrize(
    ("default", "levels"),
    [
        ("float64", ["float64", "float32", "float16", "int8", "int4", "int4"]),
        ("float32", ["float32", "float16", "int8"]),
        ("fp16", ["fp16", "int8", "int4"]),
        ("double", ["double", "single", "half", "int8"]),
        ("bfloat16", ["bfloat16", "int8"]),
        ("int8", ["int8", "int4"]),
        ("16-bit", ["16-bit", "8-bit", "4-bit", "2-bit", "2-bit"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_precision_sinks_by_a_step_for_each_shortage(default: str, levels: list[str]) -> None:
    assert [knobs.precision(default, n) for n in range(len(levels))] == levels


@pytest.mark.parametrize("bad", [0, -3, 2.0, "8", True, None])
def test_a_batch_of_no_size_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 1"):
        knobs.batch_size(bad, 0)  # type: ignore[arg-type]


def test_a_precision_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'float8' is not valid; expected one of float64, "):
        knobs.precision("float8", 0)


@pytest.mark.parametrize(
    ("error_type", "evidence", "short"),
    [
        (ErrorType.RESOURCE, (), True),
        (ErrorType.BROWSER, (HOST_SHORT,), True),
        (ErrorType.BROWSER, (HOST_FINE,), False),
        (ErrorType.PRODUCT, (HOST_SHORT,), False),
        (ErrorType.TIMEOUT, (), False),
    ],
    ids=["resource", "browser-host-short", "browser-host-fine", "product", "timeout"],
)
def test_a_shortage_is_known_by_its_diagnosis_or_by_a_probe(
    error_type: ErrorType, evidence: tuple[dict[str, object], ...], short: bool
) -> None:
    assert knobs.ran_short(error_type.label, evidence) is short


class TestKnobs:
    """The knobs of one test, by its attempts so far."""

    SHORT = Attempt(outcome="rerun", error_type="resource")

    def test_they_follow_the_attempts_of_the_test(self) -> None:
        attempts: list[Attempt] = []
        turned = Knobs(lambda: attempts)
        assert (turned.batch_size(16), turned.precision("float32")) == (16, "float32")
        attempts += [self.SHORT, Attempt(outcome="rerun", error_type="browser")]
        assert (turned.batch_size(16), turned.precision("float32")) == (8, "float16")

    def test_less_can_be_had_of_what_was_asked_for_alone(self) -> None:
        turned = Knobs(lambda: ())
        assert (turned.batch_can_shrink(), turned.precision_can_sink()) == (False, False)
        turned.batch_size(2)
        assert (turned.batch_can_shrink(), turned.precision_can_sink()) == (True, False)
        turned.precision("int8")
        assert turned.precision_can_sink()

    def test_at_the_bottom_there_is_no_less(self) -> None:
        turned = Knobs(lambda: (self.SHORT,) * 9)
        turned.batch_size(16)
        turned.precision("float32")
        assert (turned.batch_can_shrink(), turned.precision_can_sink()) == (False, False)
