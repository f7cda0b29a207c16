"""`core.failures`: the vocabulary, and that its values are plain."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.failures import (
    ErrorContext,
    ErrorReport,
    ErrorSeverity,
    ErrorType,
    ExceptionFact,
    Failure,
    Verdict,
)

INFRASTRUCTURE = {
    "browser", "driver", "gpu", "connection", "network", "timeout", "resource", "hardware",
    "worker", "task", "database", "coordinator", "system", "circuit_open",
}  # fmt: skip
LAYERS = {"product", "page", "test-code", "browser", "driver", "grid", "host", "network"}

each_type = pytest.mark.parametrize("error_type", ErrorType, ids=lambda member: member.label)

facts = st.builds(
    ExceptionFact,
    mro=st.lists(st.text(), max_size=3).map(tuple),
    message=st.text(),
    relation=st.sampled_from(["raised", "cause", "context", "member"]),
    origin=st.text(),
)
failures = st.builds(
    Failure,
    nodeid=st.text(),
    phase=st.sampled_from(["setup", "call", "teardown"]),
    chain=st.lists(facts, max_size=3).map(tuple),
    attempt=st.integers(1, 100),
    fixture=st.text(),
    command=st.text(),
    browser=st.text(),
    endpoint=st.text(),
    remote=st.booleans(),
    worker=st.text(),
    injected=st.text(),
)


class TestErrorType:
    """What excuses the product, and what does not."""

    def test_exactly_the_types_that_say_nothing_about_the_product_excuse_it(self) -> None:
        assert {t.label for t in ErrorType if t.infrastructure} == INFRASTRUCTURE

    def test_what_nothing_explains_is_the_products_own(self) -> None:
        assert not ErrorType.UNKNOWN.infrastructure
        assert ErrorType.UNKNOWN.layer == "product"

    @each_type
    def test_a_label_is_the_lower_case_name_and_leads_back_to_its_member(
        self, error_type: ErrorType
    ) -> None:
        assert error_type.label == error_type.name.lower()
        assert ErrorType.from_label(error_type.label) is error_type

    @each_type
    def test_every_type_belongs_to_a_known_layer(self, error_type: ErrorType) -> None:
        assert error_type.layer in LAYERS

    @each_type
    def test_only_the_outer_layers_can_be_infrastructure(self, error_type: ErrorType) -> None:
        assert error_type.infrastructure == (
            error_type.layer not in {"product", "page", "test-code"}
        )

    @pytest.mark.parametrize("label", ["", "BROWSER", "brwser"])
    def test_a_wrong_label_is_refused_with_the_valid_ones(self, label: str) -> None:
        with pytest.raises(ValueError, match="unknown error type") as caught:
            ErrorType.from_label(label)
        assert repr(label) in str(caught.value)
        assert all(member.label in str(caught.value) for member in ErrorType)


class TestVerdict:
    """Nothing that failed or did not run is green."""

    def test_exactly_failed_unrecovered_and_blocked_fail_a_session(self) -> None:
        failing = {verdict.value for verdict in Verdict if verdict.fails_session}
        assert failing == {"failed", "unrecovered", "blocked"}

    def test_the_words_are_those_that_reports_and_stores_use(self) -> None:
        assert [verdict.value for verdict in Verdict] == [
            "passed", "recovered", "failed", "unrecovered", "blocked", "skipped", "xfailed",
            "xpassed",
        ]  # fmt: skip

    def test_severities_go_from_a_note_to_the_loss_of_the_environment(self) -> None:
        assert [s.value for s in ErrorSeverity] == ["info", "low", "medium", "high", "critical"]


class TestFailure:
    """A failure is a plain value that can leave the process."""

    @given(failure=failures)
    def test_it_crosses_a_process_boundary_unchanged(self, failure: Failure) -> None:
        assert pickle.loads(pickle.dumps(failure)) == failure

    @given(failure=failures)
    def test_it_is_made_of_what_json_knows(self, failure: Failure) -> None:
        plain = dataclasses.asdict(failure)
        back = json.loads(json.dumps(plain))
        chain = tuple(
            ExceptionFact(**{**fact, "mro": tuple(fact["mro"])}) for fact in back.pop("chain")
        )
        assert Failure(**back, chain=chain) == failure

    @pytest.mark.parametrize(
        "value",
        [ExceptionFact(("a.B",), "m"), Failure("n", "call", ()), ErrorContext()],
        ids=lambda value: type(value).__name__,
    )
    def test_nobody_can_change_it(self, value: object) -> None:
        name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "changed")

    def test_its_exception_and_message_are_those_of_the_outermost(self) -> None:
        outer = ExceptionFact(("app.errors.CheckoutFailed", "builtins.Exception"), "no stock")
        inner = ExceptionFact(("builtins.KeyError",), "'sku'", "cause")
        failure = Failure("test_shop.py::test_buy", "call", (outer, inner))
        assert (failure.exception, failure.message) == ("CheckoutFailed", "no stock")

    def test_without_any_exception_both_are_empty(self) -> None:
        failure = Failure("test_shop.py::test_buy", "call", ())
        assert (failure.exception, failure.message) == ("", "")

    @pytest.mark.parametrize(
        ("mro", "name"),
        [
            pytest.param(("builtins.ValueError",), "ValueError", id="builtin"),
            pytest.param(("a.b.Outer.Inner", "a.b.Base"), "Inner", id="nested"),
            pytest.param(("Bare",), "Bare", id="without-module"),
            pytest.param((), "", id="unknown"),
        ],
    )
    def test_a_type_name_is_the_last_part_of_the_class_itself(
        self, mro: tuple[str, ...], name: str
    ) -> None:
        assert ExceptionFact(mro, "").type_name == name


class TestErrorContext:
    """What of a failure outlives its exception."""

    @given(failure=failures, hardware=st.text())
    def test_it_takes_over_every_field_it_shares_with_the_failure(
        self, failure: Failure, hardware: str
    ) -> None:
        context = ErrorContext.of(failure, hardware)
        shared = {f.name for f in dataclasses.fields(ErrorContext)} - {"hardware_id"}
        assert {n: getattr(context, n) for n in shared} == {n: getattr(failure, n) for n in shared}
        assert context.hardware_id == hardware


def test_a_new_report_is_open_stands_for_itself_and_shares_no_list_with_others() -> None:
    one, two = (
        ErrorReport(name, ErrorType.BROWSER, ErrorSeverity.HIGH, "gone", ErrorContext())
        for name in ("one", "two")
    )
    one.related_errors.append("zero")
    assert (two.related_errors, two.resolution_status, two.aggregated_count) == ([], "open", 1)
    assert two.retry_successful is None
