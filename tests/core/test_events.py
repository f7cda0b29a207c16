"""`core.events`: what is written is JSON-plain and is read back unchanged."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.core.evidence import ProbeResult

#: What a record is made from; the JSON text in between is what a spool holds.
RECORDS: list[type[Any]] = [Attempt, RecoveryPerformanceRecord]
each_record = pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text()
evidence = st.builds(ProbeResult, texts, texts, texts, st.floats(0, 60)).map(ProbeResult.to_dict)

#: A strategy for every annotation in use; a field of another kind must be added here.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": numbers,
    "str": texts,
    "str | None": st.none() | texts,
    "tuple[dict[str, Any], ...]": st.lists(evidence, max_size=3).map(tuple),
    "dict[str, float]": st.dictionaries(texts, numbers, max_size=3),
    "dict[str, Any]": st.dictionaries(texts, texts | numbers | st.integers(), max_size=3),
}


def records(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy that fills every field of `cls`."""
    return st.builds(cls, **{f.name: VALUES[str(f.type)] for f in dataclasses.fields(cls)})


@each_record
@given(data=st.data())
def test_a_record_read_from_its_dict_is_the_same(cls: type[Any], data: st.DataObject) -> None:
    record = data.draw(records(cls))
    assert cls.from_dict(record.to_dict()) == record


@each_record
@given(data=st.data())
def test_a_record_read_from_json_is_the_same(cls: type[Any], data: st.DataObject) -> None:
    record = data.draw(records(cls))
    assert cls.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record


@each_record
@given(data=st.data())
def test_a_dict_has_exactly_the_fields_of_the_record(cls: type[Any], data: st.DataObject) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    assert list(data.draw(records(cls)).to_dict()) == names


@each_record
@given(data=st.data())
def test_keys_of_a_newer_version_are_ignored(cls: type[Any], data: st.DataObject) -> None:
    record = data.draw(records(cls))
    newer = {**record.to_dict(), "not_a_field_of_ours": {"deep": [1]}, "": None}
    assert cls.from_dict(newer) == record


@each_record
@given(data=st.data())
def test_keys_an_older_version_did_not_write_take_their_defaults(
    cls: type[Any], data: st.DataObject
) -> None:
    plain = data.draw(records(cls)).to_dict()
    optional = {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(cls)
        if (f.default, f.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
    }
    missing = data.draw(st.sets(st.sampled_from(sorted(optional))))
    older = cls.from_dict({k: v for k, v in plain.items() if k not in missing})
    assert older == cls(**{**plain, **{name: optional[name] for name in missing}})


def test_an_attempt_nothing_is_known_of_is_a_first_one_that_passed() -> None:
    attempt = Attempt.from_dict({})
    assert (attempt.number, attempt.outcome, attempt.phase) == (1, "passed", "call")
    assert not attempt.infrastructure


@given(
    result=st.builds(
        TestResult,
        nodeid=texts,
        verdict=texts,
        worker=texts,
        started_us=st.integers(),
        duration_s=numbers,
        reason=texts,
        attempts=st.lists(records(Attempt), max_size=3),
    )
)
def test_a_result_says_how_many_attempts_it_took_and_all_else_as_it_is(result: TestResult) -> None:
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    expected = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    # What was kept is not recorded once more.
    del expected["kept"]
    assert plain == {**expected, "attempts": len(result.attempts)}


def test_two_results_do_not_share_their_attempts() -> None:
    one, two = TestResult("a", "passed"), TestResult("b", "passed")
    one.attempts.append(Attempt())
    assert two.attempts == []


def test_pytest_does_not_take_a_result_for_a_test_class() -> None:
    assert TestResult.__test__ is False


def test_the_kinds_of_records_are_told_apart_by_their_names() -> None:
    kinds = [
        events.SESSION_STARTED,
        events.SESSION_FINISHED,
        events.ATTEMPT,
        events.TEST_RESULT,
        events.ERROR,
        events.RECOVERY,
    ]
    assert len(set(kinds)) == len(kinds)
