"""What a test may save: what is taken comes back as it was, what is not is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.saved import LIMIT, encoded
from pytest_resilience.exceptions import CheckpointError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_what_is_taken_comes_back_as_it_was(state: Any) -> None:
    again = json.loads(encoded(state, "t.py::test_a"))
    assert again == state
    assert repr(again) == repr(state)


def test_tuples_come_back_as_lists() -> None:
    assert json.loads(encoded({"at": (1, 2)}, "n")) == {"at": [1, 2]}


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        pytest.param({1, 2}, "state is of type set, which JSON does not have", id="set"),
        pytest.param(
            {"rows": [1, b"x"]}, "state['rows'][1] is of type bytes, which", id="place-of-bytes"
        ),
        pytest.param(
            {"a": {3: 1}}, "state['a'] is a dict with the key 3, of type int, not text", id="key"
        ),
        pytest.param([float("nan")], "state[0] is nan, which JSON does not have", id="nan"),
        pytest.param(object(), "of type object", id="object"),
        pytest.param(LOOP, "more than 100 levels deep, or part of itself", id="loop"),
    ],
)
def test_what_json_does_not_have_is_named_by_its_place(state: Any, told: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        encoded(state, "t.py::test_a")
    text = str(caught.value)
    assert text.startswith("checkpoint of t.py::test_a: state")
    assert told in text
    assert "save text, numbers" in text
    assert text.endswith("[bad-checkpoint]")


def test_the_limit_is_a_mebibyte_of_json() -> None:
    assert len(encoded("x" * (LIMIT - 2), "n")) == LIMIT
    with pytest.raises(CheckpointError, match=r"1,048,577 bytes as JSON, the limit is 1,048,576"):
        encoded("x" * (LIMIT - 1), "n")
