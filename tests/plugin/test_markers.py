"""Our markers: what they change, and how wrong ones are refused."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner
from tests.plugin.test_options import run_cases

SUITE = """
    import pytest
    from tests.plugin.breakage import lose_browser, note

    @pytest.mark.no_resilience
    def test_never_retried():
        note("never")
        lose_browser()

    @pytest.mark.resilience(retry="all", max_attempts=3)
    def test_everything_retried():
        note("all")
        assert "price" == "9.99"

    @pytest.mark.resilience(max_level=2)
    def test_no_restart_allowed():
        note("level")
        lose_browser()

    @pytest.mark.resilience(max_attempts=3)
    class TestClass:
        def test_of_class(self):
            note("of class")
            lose_browser()

        @pytest.mark.resilience(max_attempts=2)
        def test_nearest_wins(self):
            note("nearest")
            lose_browser()

        @pytest.mark.no_resilience
        def test_refusal_wins(self):
            note("refusal")
            lose_browser()
"""


@pytest.fixture(scope="module")
def run(run_inner: RunInner) -> SuiteRun:
    """One run with markers of every kind."""
    return run_inner(SUITE, "--strict-markers")


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        *(("never", 1), ("all", 3), ("level", 1)),
        *(("of class", 3), ("nearest", 2), ("refusal", 1)),
    ],
)
def test_a_marker_sets_how_often_a_test_runs(run: SuiteRun, name: str, calls: int) -> None:
    assert run.log("test_it.txt").count(name) == calls, run.output


def test_a_test_that_is_never_retried_is_diagnosed_all_the_same(run: SuiteRun) -> None:
    assert run.verdicts["test_never_retried"] == "unrecovered"
    (attempt,) = run.attempts("test_never_retried")
    assert attempt["error_type"] == "browser"


def test_the_report_says_why_a_restricted_test_was_not_retried(run: SuiteRun) -> None:
    assert "the test is marked no_resilience" in run.output
    assert "no recovery up to level 2 can help" in run.output


NAMES = ("retry", "max_attempts", "max_level")
BAD = {
    "unknown_argument": ("resilience(max_attemps=2)", ("'max_attemps'", *NAMES, "max_attempts'?")),
    "positional": ("resilience(3)", ("keyword arguments only", "got 3", *NAMES)),
    "bad_choice": ("resilience(retry='some')", ("'some'", "infrastructure, ambiguous, all")),
    "bad_number": ("resilience(max_attempts=0)", ("max_attempts", "0", "from 1 to 100")),
    "bad_type": ("resilience(max_level=None)", ("max_level", "None", "from 1 to 5")),
    "argument_of_refusal": ("no_resilience('why')", ("no_resilience", "no arguments")),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """What pytest answers to each wrong marker."""
    folder = tmp_path_factory.mktemp("refusals")
    for name, (marker, _expected) in BAD.items():
        (folder / f"test_{name}.py").write_text(
            "import pytest\nfrom tests.plugin.breakage import note\n"
            f"def test_first(): note('ran')\n"
            f"@pytest.mark.{marker}\ndef test_marked(): note('ran')\n"
        )
    answers = run_cases(folder, [{"args": [f"test_{name}.py"]} for name in BAD])
    assert list(folder.glob("*.txt")) == [], "a test ran in spite of a wrong marker"
    return dict(zip(BAD, answers, strict=True))


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_marker_is_a_usage_error_that_names_the_test_and_what_is_valid(
    refusals: dict[str, tuple[int, str]], name: str
) -> None:
    status, output = refusals[name]
    assert status == 4, output
    message = next(line for line in output.splitlines() if line.startswith("ERROR: "))
    assert f"test_{name}.py::test_marked" in message
    for part in BAD[name][1]:
        assert part in message
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output


LATE = """
    import pytest
    from pathlib import Path

    class Late(pytest.Item):
        def runtest(self):
            Path("test_late.txt").write_text("ran")

    def pytest_runtestloop(session):
        late = Late.from_parent(session, name="late")
        late.add_marker({marker})
        session.items.append(late)
"""


@pytest.mark.parametrize(
    ("marker", "warned"),
    [("pytest.mark.no_resilience", False), ("pytest.mark.resilience(max_level=9)", True)],
    ids=["right", "wrong"],
)
def test_an_item_that_comes_after_collection_runs_like_any_other(
    marker: str, warned: bool, run_inner: RunInner
) -> None:
    """It is too late for a usage error, so a wrong marker is a warning."""
    files = {"conftest.py": LATE.format(marker=marker), "test_it.py": "def test_it(): pass"}
    run = run_inner(files)
    assert run.status == 0, run.output
    assert set(run.verdicts.values()) == {"passed"}
    assert len(run.verdicts) == 2
    assert ("max_level" in run.output) is warned
    assert "INTERNALERROR" not in run.output
