"""The page as text: what stands in it, and that nothing from a session is markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.exceptions import ReportError
from pytest_resilience.report.html import render, write_html
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.text import CLIP
from pytest_resilience.report.view import STATIC, STATIC_TEXT, text_limit

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """The tags, attributes and texts of a page; refuses tags that do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    @property
    def text(self) -> str:
        """All that a person can read without JavaScript."""
        hidden = ("script", "style")
        return "\n".join(
            text for tag, texts in self.texts.items() if tag not in hidden for text in texts
        )


def table_of(source: str) -> dict[str, Any]:
    """Return the data the page's script shows."""
    match = re.search(r'id="data">([^<]*)</script>', source)
    assert match is not None
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(match.group(1))))
    return data


def test_everything_that_matters_is_readable_without_script(summary: Summary) -> None:
    """Verdicts, every attempt of an incident, evidence, strategies and facts are plain HTML."""
    text = Page(render(summary)).text
    for expected in (
        "shop",
        "1 test failed in product or test code.",
        "1 test met an infrastructure failure, recovered and passed.",
        "test_cart",
        "test_pay",
        "test_price",
        "test_mail",
        "browser chromium is down, and was waited for in vain: the trial failed",
        "invalid session id",
        "browser.gone",
        "confidence 97%",
        "pid 4821, signal 9",
        "< 0.1 ms",
        "browser_restart",
        "level 3, component",
        "expected cost 2.6 s is the lowest",
        "tests/test_shop.py:12: in test_cart",
        "Look for a crash",
        "1 of 2",
        "The history is locked.",
        "2 records of this session are missing",
        "browser firefox",
        "the trial failed",
        "--resilience-retry",
        "3.11.7",
        "2027-01-15 08:00 UTC",
    ):
        assert expected in text


def test_every_test_is_in_the_table(summary: Summary) -> None:
    """The table has all tests, passing ones too; only a clean attempt is left out."""
    tests = table_of(render(summary))["tests"]
    assert [test["id"] for test in tests] == [test.nodeid for test in summary.tests]
    assert "attempts" not in tests[0]
    assert [attempt["number"] for attempt in tests[1]["attempts"]] == [1, 2]


def test_policy_lets_only_our_own_script_and_style_run(summary: Summary) -> None:
    """The policy names the hashes of the one script and the one style, and nothing else."""
    source = render(summary)
    page = Page(source)
    (policy,) = [v for t, n, v in page.attributes if n == "content" and "default-src" in v]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    (style,) = page.texts["style"]
    script = page.texts["script"][-1]
    assert rules["default-src"] == "'none'"
    for kind, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"


def test_the_page_asks_for_nothing(summary: Summary) -> None:
    """No attribute leads out of the page, and the script has no way to make markup."""
    page = Page(render(summary))
    links = [value for _, name, value in page.attributes if name in ("href", "src", "action")]
    assert [value for value in links if not value.startswith(("#", "data:,"))] == []
    script = page.texts["script"][-1]
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|fetch\(|XMLHttp|import\("
    assert re.findall(forbidden, script) == []


def test_the_page_says_its_language_and_labels_its_fields(summary: Summary) -> None:
    """Screen readers learn the language, and every field and table head is labelled."""
    page = Page(render(summary))
    assert ("html", "lang", "en") in page.attributes
    assert ("label", "for", "filter") in page.attributes
    assert page.tags.count("th") == [n for t, n, _ in page.attributes if t == "th"].count("scope")
    assert page.tags.count("h1") == page.tags.count("main") == 1


def test_sections_appear_only_when_they_have_something_to_say() -> None:
    """A green session has no section about failures, recoveries or circuits."""
    page = Page(render(Summary(SessionInfo(), [TestResult("t", "passed")])))
    sections = {value for tag, name, value in page.attributes if tag == "section" and name == "id"}
    assert sections == {"verdicts", "tests", "session"}
    assert "1 test, and the infrastructure held." in page.text


def test_empty_session_has_a_page() -> None:
    """A session without tests says so."""
    assert "No test was run." in Page(render(Summary(SessionInfo()))).text


hostile = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                "<script>", "</script>", "<!--", "-->", "<img src=x onerror=alert(1)>", "]]>",
                '"', "'", "`", "&lt;", "&", "</style>", "</pre>", "{{ 7*7 }}", "{% raw %}",
                "\u2028", "\x00", "\x1b[1m", "javascript:alert(1)", "</title>", "\ud800", "::",
            ]
        )
    ).map("".join),
)  # fmt: skip


def hostile_summary(text: str) -> Summary:
    attempt = Attempt(
        outcome="rerun",
        phase=text,
        worker=text,
        error_type=text or "x",
        severity=text,
        exception=text,
        message=text,
        rule=text,
        confidence=0.5,
        evidence=({"probe": text, "answer": text, "detail": text, "cost_s": 1.0},),
        injected=text,
        strategy=text,
        level=9,
        recovery_s=1.0,
        reason=text,
        browser=text,
        traceback=text,
        started_us=1,
        duration_s=1.0,
        error_id=text,
        root_error_id=text,
    )
    changes = [
        {"at_s": at_s, "from_state": text, "to_state": text, "reason": text, "worker": text}
        for at_s in range(3)
    ]
    verdicts = ["recovered", "failed", "unrecovered", "blocked", "passed", text]
    return Summary(
        SessionInfo(
            text, rootdir=text, platform=text, workers=[text], options={text: text}, facts={text: 1}
        ),
        [TestResult(text, verdict, text, 1, 1.0, text, [attempt]) for verdict in verdicts],
        circuits=[
            {"name": text, "state": text, text: {text: [text]}},
            {"name": text, "kind": text, "state": "open", "reason": text, "transitions": changes},
        ],
        circuit_waited_s=1.0,
        moved=1,
        warnings=[text],
    )


@pytest.fixture(scope="module")
def tame() -> Page:
    """The page of the same session with a harmless word everywhere."""
    return Page(render(hostile_summary("tame")))


@settings(max_examples=40)
@given(text=hostile)
def test_text_of_a_session_is_never_markup(tame: Page, text: str) -> None:
    """Whatever stands in ids, messages and facts, the page has our tags and attributes only."""
    source = render(hostile_summary(text))
    source.encode("utf-8")
    page = Page(source)
    assert page.tags.count("script") == 2
    assert set(page.tags) <= set(tame.tags)
    assert {(tag, name) for tag, name, _ in page.attributes} <= {
        (tag, name) for tag, name, _ in tame.attributes
    }
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_a_long_traceback_keeps_its_ends() -> None:
    """A traceback of a megabyte is clipped to its head and its tail, in both parts."""
    attempt = Attempt(
        outcome="failed", error_type="product", traceback="HEAD" + "x" * 1_000_000 + "TAIL"
    )
    source = render(Summary(SessionInfo(), [TestResult("t", "failed", attempts=[attempt])]))
    (row,) = table_of(source)["tests"]
    for text in (Page(source).text, row["attempts"][0]["traceback"]):
        assert "HEADxxx" in text
        assert "xxxTAIL" in text
        assert "characters left out" in text
    assert len(row["attempts"][0]["traceback"]) < CLIP + 100


def test_many_failures_share_the_space() -> None:
    """The more tracebacks there are, the shorter each is shown, down to a useful minimum."""
    one = [TestResult("t", "failed", attempts=[Attempt(traceback="x")])]
    assert text_limit(one, STATIC_TEXT) == CLIP
    assert text_limit(one * 100, STATIC_TEXT) == STATIC_TEXT // 100
    assert text_limit(one * 100_000, STATIC_TEXT) == 600


def test_static_part_stops_at_its_limit_and_says_so() -> None:
    """Of many recovered tests the first are shown in full; the page says where the rest is."""
    attempts = [Attempt(outcome="rerun", error_type="browser"), Attempt(2)]
    tests = [TestResult(f"t{n}", "recovered", attempts=attempts) for n in range(STATIC + 7)]
    page = Page(render(Summary(SessionInfo(), tests)))
    cards = [v for t, n, v in page.attributes if (t, n) == ("details", "class") and "card" in v]
    assert len(cards) == STATIC
    assert "7 more are in" in page.text


def test_ten_thousand_tests_stay_small() -> None:
    """A page of 10,000 tests, one in twenty failing with a long traceback, is below 1.5 MB."""
    trace = "\n".join(f"tests/pages/page_{n}.py:{n * 7}: in step_{n}" for n in range(300))
    tests = []
    for n in range(10_000):
        attempts = [Attempt(duration_s=n / 1000, started_us=1 + n * 10**6, worker=f"gw{n % 8}")]
        if n % 20 == 0:
            attempts.insert(
                0, Attempt(outcome="rerun", error_type="browser", traceback=f"{n} {trace}")
            )
        verdict = "recovered" if n % 20 == 0 else "passed"
        tests.append(
            TestResult(
                f"tests/area_{n % 40}/test_page_{n % 400}.py::TestPage::test_step[chromium-{n}]",
                verdict,
                f"gw{n % 8}",
                attempts=attempts,
            )
        )
    assert len(render(Summary(SessionInfo(), tests)).encode()) < 1_500_000


def test_same_session_gives_the_same_page(summary: Summary) -> None:
    """Nothing of the moment of writing is in the page."""
    assert render(summary) == render(summary)


def test_page_is_written_whole(summary: Summary, tmp_path: Path) -> None:
    """The file holds what was rendered, in UTF-8, in directories made for it."""
    path = tmp_path / "a" / "b" / "report.html"
    write_html(summary, path)
    assert path.read_text(encoding="utf-8") == render(summary)


def test_a_fault_of_ours_is_a_report_error(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that cannot be made is an error the session survives; the old page stays."""

    def broken(summary: Summary) -> str:
        raise ZeroDivisionError("oops")

    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr("pytest_resilience.report.html.render", broken)
    with pytest.raises(ReportError, match=r"ZeroDivisionError: oops"):
        write_html(summary, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "old"


def test_unwritable_page_names_its_option(summary: Summary, tmp_path: Path) -> None:
    """The message names the option the path came from."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="--resilience-report: cannot write"):
        write_html(summary, tmp_path / "file" / "report.html")
