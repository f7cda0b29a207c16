"""What a test may save between its attempts: plain JSON of a bounded size.

Invariant: what `encoded` accepts is loaded as it was saved, but for tuples, which come back
as lists; what it refuses is named by its place and its kind, with what to do about it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from pytest_resilience.exceptions import CheckpointError

#: Bytes of a state as JSON.
LIMIT = 1024 * 1024
_DEPTH = 100
_PLAIN = "save text, numbers, true, false, None, and lists and dicts of those"


def encoded(state: Any, nodeid: str) -> str:
    """Return `state` as JSON.

    Raises:
        CheckpointError: JSON has no such value, or it is too large.
    """
    for place, problem in _misfits(state, "state", 0):
        raise CheckpointError(f"checkpoint of {nodeid}: {place} is {problem}; {_PLAIN}.")
    text = json.dumps(state, separators=(",", ":"))
    if len(text) > LIMIT:
        raise CheckpointError(
            f"checkpoint of {nodeid}: the state has {len(text):,} bytes as JSON, the limit is "
            f"{LIMIT:,} (1 MiB); save what is needed to go on, or the name of a file with the rest."
        )
    return text


def _misfits(value: Any, place: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield where something is that JSON does not have, and what it is."""
    if depth > _DEPTH:
        yield place[:200], f"more than {_DEPTH} levels deep, or part of itself"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield place, f"a dict with the key {key!r}, of type {type(key).__name__}, not text"
            yield from _misfits(item, f"{place}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _misfits(item, f"{place}[{index}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield place, f"{value}, which JSON does not have"
    elif not (value is None or isinstance(value, (str, int, float, bool))):
        yield place, f"of type {type(value).__name__}, which JSON does not have"
