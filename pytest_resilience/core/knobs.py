"""The knobs of a test that runs out of something: smaller batches, lower precision.

Invariant: what a knob gives depends on nothing but what the test asks for and how often it ran
out; without a shortage it is what was asked for, and it never grows with shortages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_resilience.core.evidence import HOST, SHORT
from pytest_resilience.core.failures import ErrorType

#: From the most exact to the cheapest, in several spellings; the first ladder that has a name
#: is the one it is on.
LADDERS: tuple[tuple[str, ...], ...] = (
    ("float64", "float32", "float16", "int8", "int4"),
    ("fp64", "fp32", "fp16", "int8", "int4"),
    ("double", "single", "half", "int8", "int4"),
    ("bfloat16", "int8", "int4"),
    ("bf16", "int8", "int4"),
    ("64-bit", "32-bit", "16-bit", "8-bit", "4-bit", "2-bit"),
)


def batch_size(default: int, shortages: int) -> int:
    """Return the size of a batch: half of `default` for each of `shortages`, but at least 1.

    Raises:
        ValueError: `default` is not a whole number, 1 or more.
    """
    if isinstance(default, bool) or not isinstance(default, int) or default < 1:
        raise ValueError(f"batch_size: {default!r} is not valid; expected a whole number from 1.")
    # Far beyond the size of any batch the power itself would be a burden.
    return max(1, default >> min(shortages, 64))


def precision(default: str, shortages: int) -> str:
    """Return the precision: one step below `default` on its ladder for each of `shortages`.

    Raises:
        ValueError: `default` is on no ladder.
    """
    ladder = next((ladder for ladder in LADDERS if default in ladder), None)
    if ladder is None:
        known = ", ".join(dict.fromkeys(name for ladder in LADDERS for name in ladder))
        raise ValueError(f"precision: {default!r} is not valid; expected one of {known}.")
    return ladder[min(ladder.index(default) + shortages, len(ladder) - 1)]


def ran_short(error_type: str, evidence: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether resources ran short in an attempt, by its diagnosis or by a probe.

    Args:
        error_type: Label of its error type.
        evidence: What probes answered, as plain dicts.
    """
    if error_type == ErrorType.RESOURCE.label:
        return True
    infrastructure = any(t.label == error_type and t.infrastructure for t in ErrorType)
    return infrastructure and any(
        result.get("probe") == HOST and result.get("answer") == SHORT for result in evidence
    )
