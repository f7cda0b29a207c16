"""Text made fit to be shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.report.text import clean, clip, headline, plural, seconds

NASTY = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("\x1b[]0;m\x07\x9b\r\n\t\u202e\ud800"))
)


@given(NASTY)
def test_clean_text_can_be_written_anywhere(text: str) -> None:
    """Nothing but newline and tab is left of control characters, and UTF-8 can hold it."""
    cleaned = clean(text)
    cleaned.encode("utf-8")
    controls = {char for char in cleaned if unicodedata.category(char) == "Cc"}
    assert controls <= {"\n", "\t"}
    assert clean(cleaned) == cleaned


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_clean_leaves_plain_text_alone(text: str) -> None:
    """Text without control characters stays as it is."""
    assert clean(text) == text


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b]0;title\x07text", "text", id="window title"),
        pytest.param("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", id="hyperlink"),
        pytest.param("a\r\nb\rc", "a\nb\nc", id="newlines"),
        pytest.param("safe\u202etxt.exe", "safetxt.exe", id="bidirectional override"),
        pytest.param("\ud800", "\ufffd", id="lone surrogate"),
        pytest.param("\x9b2Jx", "x", id="eight-bit escape"),
    ],
)
def test_clean_removes(raw: str, plain: str) -> None:
    """Escapes, overrides and surrogates go; the words stay."""
    assert clean(raw) == plain


@given(st.text(min_size=0, max_size=400), st.integers(min_value=3, max_value=200))
def test_clip_keeps_head_and_tail(text: str, limit: int) -> None:
    """A long text keeps its two ends and says how much is missing; a short one stays."""
    clipped = clip(text, limit)
    if len(text) <= limit:
        assert clipped == text
    else:
        assert clipped.startswith(text[: limit // 3])
        assert clipped.endswith(text[-(limit - limit // 3) :])
        assert f"{len(text) - limit:,} characters left out" in clipped
        assert len(clipped) < limit + 60


@pytest.mark.parametrize(
    ("message", "line"),
    [
        pytest.param("Message: tab crashed\n  (Session info)", "tab crashed", id="selenium"),
        pytest.param("Message: \nno such window", "no such window", id="empty first line"),
        pytest.param("  a\t b ", "a b", id="white space"),
        pytest.param("", "", id="nothing"),
        pytest.param("x" * 200, "x" * 97 + "...", id="long"),
    ],
)
def test_headline(message: str, line: str) -> None:
    """The headline is the first line that says something, in at most 100 characters."""
    assert headline(message) == line


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0 s"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (59.96, "1 min 00 s"),
        (61.4, "1 min 01 s"),
        (3600.0, "1 h 00 min"),
        (7385.0, "2 h 03 min"),
    ],
)
def test_seconds(value: float, said: str) -> None:
    """Durations are said in the unit that fits."""
    assert seconds(value) == said


def test_plural() -> None:
    """One is singular, everything else is not."""
    assert [plural(1, "recovery"), plural(2, "recovery"), plural(0, "test")] == [
        "1 recovery",
        "2 recoveries",
        "0 tests",
    ]
