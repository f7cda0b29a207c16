"""The pure parts of `plugin.observe`: exceptions as facts, and long texts clipped."""

from __future__ import annotations

import builtins
import dataclasses
import gc
import itertools
import json
import sys
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.failures import ExceptionFact
from pytest_resilience.plugin.observe import clip, exception_chain

CHAIN_LIMIT = 50
MESSAGE_LIMIT = 8_000


class ProductError(Exception):
    """Something of the suite's own."""


class HandMadeGroupError(Exception):
    """A group as backports make them: its members stand in ``exceptions``."""

    def __init__(self, message: str, exceptions: list[BaseException]) -> None:
        super().__init__(message)
        self.exceptions = tuple(exceptions)


Group = Callable[[str, list[Exception]], Exception]
GROUPS = [pytest.param(HandMadeGroupError, id="hand-made")]
if sys.version_info >= (3, 11):
    GROUPS.append(pytest.param(builtins.ExceptionGroup, id="built-in"))
each_group = pytest.mark.parametrize("group", GROUPS)


def shape(error: BaseException) -> list[tuple[str, str]]:
    """Return relation and class of every fact of `error`."""
    return [(fact.relation, fact.type_name) for fact in exception_chain(error)]


def caused(error: Exception, cause: BaseException) -> Exception:
    """Return `error` as it is after ``raise error from cause``."""
    error.__cause__ = cause
    return error


def raised_while_handling(*, suppressed: bool) -> Exception:
    try:
        try:
            raise KeyError("sku")
        except KeyError:
            if suppressed:
                raise ProductError("no stock") from None
            raise ProductError("no stock")  # noqa: B904 - the context is what is tested
    except ProductError as error:
        return error


class TestChain:
    """All exceptions that belong together, outermost first."""

    def test_a_lone_exception_is_one_fact(self) -> None:
        assert exception_chain(ValueError("bad")) == (
            ExceptionFact(
                ("builtins.ValueError", "builtins.Exception", "builtins.BaseException"),
                "bad",
                "raised",
                "",
                of_driver=False,
            ),
        )

    def test_a_class_of_the_suite_is_named_with_its_module(self) -> None:
        mro = exception_chain(ProductError())[0].mro
        assert mro[0] == f"{__name__}.ProductError"
        assert mro[-1] == "builtins.BaseException"

    def test_causes_follow_in_their_order(self) -> None:
        error = caused(ProductError(), caused(OSError(), ValueError()))
        assert shape(error) == [
            ("raised", "ProductError"),
            ("cause", "OSError"),
            ("cause", "ValueError"),
        ]

    def test_what_was_being_handled_is_its_context(self) -> None:
        error = raised_while_handling(suppressed=False)
        assert shape(error) == [("raised", "ProductError"), ("context", "KeyError")]

    def test_a_suppressed_context_does_not_belong_to_it(self) -> None:
        assert shape(raised_while_handling(suppressed=True)) == [("raised", "ProductError")]

    def test_a_stated_cause_hides_the_context(self) -> None:
        error = raised_while_handling(suppressed=False)
        caused(error, OSError())
        # Naming a cause suppresses the context; even where that is undone, one way is followed.
        error.__suppress_context__ = False
        assert shape(error) == [("raised", "ProductError"), ("cause", "OSError")]

    def test_exceptions_that_are_no_failures_are_seen_as_well(self) -> None:
        assert shape(caused(ProductError(), KeyboardInterrupt())) == [
            ("raised", "ProductError"),
            ("cause", "KeyboardInterrupt"),
        ]

    def test_the_origin_is_the_innermost_frame(self) -> None:
        def outer() -> None:
            inner()

        def inner() -> None:
            raise ProductError

        with pytest.raises(ProductError) as caught:
            outer()
        origin = exception_chain(caught.value)[0].origin
        assert origin.endswith("test_observe_values.py:inner")

    def test_a_fact_is_made_of_strings_alone(self) -> None:
        facts = exception_chain(raised_while_handling(suppressed=False))
        plain = [dataclasses.asdict(fact) for fact in facts]
        assert json.loads(json.dumps(plain)) == [{**p, "mro": list(p["mro"])} for p in plain]

    def test_a_fact_keeps_nothing_of_the_failed_attempt_alive(self) -> None:
        error = raised_while_handling(suppressed=False)
        watched = weakref.ref(error)
        facts = exception_chain(error)
        del error
        gc.collect()
        assert facts
        assert watched() is None


class TestGroups:
    """A group stands for its members, built-in or not."""

    @each_group
    def test_members_follow_their_group(self, group: Group) -> None:
        assert [relation for relation, _ in shape(group("two", [ValueError(), OSError()]))] == [
            "raised",
            "member",
            "member",
        ]

    @each_group
    def test_members_of_inner_groups_are_members_too(self, group: Group) -> None:
        nested = group("outer", [group("inner", [ValueError()]), OSError()])
        relations = shape(nested)
        assert {name for relation, name in relations if relation == "member"} >= {
            "ValueError",
            "OSError",
        }
        assert len(relations) == 4

    @each_group
    def test_what_caused_a_member_stands_right_behind_that_member(self, group: Group) -> None:
        # A reader of the chain takes what follows a member for that member's own causes.
        error = group("two", [caused(ProductError(), KeyError()), OSError()])
        assert shape(error)[1:] == [
            ("member", "ProductError"),
            ("cause", "KeyError"),
            ("member", "OSError"),
        ]

    @each_group
    def test_what_caused_the_group_is_not_taken_for_the_cause_of_a_member(
        self, group: Group
    ) -> None:
        error = caused(group("one", [ProductError()]), KeyError())
        assert shape(error)[1:] == [("cause", "KeyError"), ("member", "ProductError")]

    @pytest.mark.parametrize(
        "exceptions", ["text", 7, None, [1, "two"], {"a": ValueError()}], ids=repr
    )
    def test_an_attribute_of_the_same_name_with_something_else_in_it_is_ignored(
        self, exceptions: object
    ) -> None:
        error = ProductError()
        error.exceptions = exceptions  # type: ignore[attr-defined]
        assert shape(error) == [("raised", "ProductError")]


class TestOddities:
    """Nothing an exception is or does keeps it from being recorded."""

    @pytest.mark.parametrize("link", ["__cause__", "__context__"])
    @pytest.mark.parametrize("length", [1, 2, 5])
    def test_a_circle_is_walked_once(self, link: str, length: int) -> None:
        errors = [ValueError(number) for number in range(length)]
        for one, following in zip(errors, [*errors[1:], errors[0]], strict=True):
            setattr(one, link, following)
        assert [fact.message for fact in exception_chain(errors[0])] == [
            str(number) for number in range(length)
        ]

    def test_a_group_that_holds_itself_is_walked_once(self) -> None:
        group = HandMadeGroupError("self", [])
        group.exceptions = (group, group)
        assert shape(group) == [("raised", "HandMadeGroupError")]

    def test_an_exception_met_on_two_ways_is_one_fact(self) -> None:
        shared = OSError()
        group = HandMadeGroupError(
            "two", [caused(ValueError(), shared), caused(KeyError(), shared)]
        )
        assert [name for _, name in shape(group)].count("OSError") == 1

    @pytest.mark.parametrize("length", [CHAIN_LIMIT - 1, CHAIN_LIMIT, CHAIN_LIMIT + 1, 2_000])
    def test_a_chain_without_end_is_cut_and_the_outermost_are_kept(self, length: int) -> None:
        errors = [ValueError(number) for number in range(length)]
        for one, following in itertools.pairwise(errors):
            one.__cause__ = following
        assert [fact.message for fact in exception_chain(errors[0])] == [
            str(number) for number in range(min(length, CHAIN_LIMIT))
        ]

    @pytest.mark.parametrize("answer", [RuntimeError("no words"), None], ids=["raises", "no-text"])
    def test_an_exception_that_cannot_say_what_it_is_still_counts(
        self, answer: Exception | None
    ) -> None:
        class SpeechlessError(Exception):
            def __str__(self) -> str:
                if answer is not None:
                    raise answer
                return answer  # type: ignore[return-value]

        (fact,) = exception_chain(SpeechlessError())
        assert fact.type_name == "SpeechlessError"
        assert fact.message == "<SpeechlessError whose text could not be made>"

    def test_a_broken_member_does_not_hide_what_caused_the_failure(self) -> None:
        class SpeechlessError(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        assert shape(caused(SpeechlessError(), OSError()))[-1] == ("cause", "OSError")

    def test_a_long_message_loses_its_middle(self) -> None:
        text = "head" + "x" * 3 * MESSAGE_LIMIT + "tail"
        message = exception_chain(ValueError(text))[0].message
        assert len(message) < MESSAGE_LIMIT + 100
        assert message.startswith("headx")
        assert message.endswith("xtail")


class TestClip:
    """A text that is too long loses its middle, and says how much of it."""

    @given(text=st.text(max_size=60), limit=st.integers(60, 10_000))
    def test_a_text_within_the_limit_stays_as_it_is(self, text: str, limit: int) -> None:
        assert clip(text, limit) == text

    @given(text=st.text(alphabet="abc", min_size=1, max_size=200), limit=st.integers(2, 100))
    def test_of_a_longer_one_both_ends_stay_and_what_is_left_out_is_counted(
        self, text: str, limit: int
    ) -> None:
        text += "x" * limit
        head, note, tail = clip(text, limit).split("\n")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert 0 <= limit - len(head + tail) <= 1
        assert note == f"… {len(text) - len(head + tail)} characters left out …"

    def test_the_limit_itself_is_still_within(self) -> None:
        assert clip("x" * MESSAGE_LIMIT) == "x" * MESSAGE_LIMIT
        assert clip("x" * (MESSAGE_LIMIT + 1)) != "x" * (MESSAGE_LIMIT + 1)
