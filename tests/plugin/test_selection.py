"""Which tests run, in which order, and when the session stops."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

SUITE = """
    import pytest
    from tests.plugin.breakage import lose_browser, note

    def test_a_recovers():
        if note("a") == 1:
            lose_browser()

    def test_b_wrong():
        note("b")
        assert "price" == "9.99"

    def test_c_lost():
        note("c")
        lose_browser()

    def test_d_passes():
        note("d")
"""


@pytest.mark.parametrize(
    ("option", "log"),
    [
        ("-x", ["a", "a", "b"]),
        ("--maxfail=1", ["a", "a", "b"]),
        ("--maxfail=2", ["a", "a", "b", "c", "c", "c", "c"]),
        ("--sw", ["a", "a", "b"]),
    ],
)
def test_only_final_failures_stop_the_session(
    run_inner: RunInner, option: str, log: list[str]
) -> None:
    run = run_inner(SUITE, option)
    assert run.log("test_it.txt") == log, run.output
    assert run.verdicts["test_a_recovers"] == "recovered"
    assert "test_d_passes" not in run.verdicts
    # The stepwise plugin interrupts the session, as ever.
    assert run.status == (2 if option == "--sw" else 1)


def test_only_final_failures_are_remembered_as_last_failed(run_inner: RunInner) -> None:
    first = run_inner(SUITE, "--lf")
    cached = first.folder / ".pytest_cache" / "v" / "cache" / "lastfailed"
    assert sorted(json.loads(cached.read_text())) == [
        "test_it.py::test_b_wrong",
        "test_it.py::test_c_lost",
    ]
    (first.folder / "test_it.txt").unlink()
    again = run_inner(SUITE, "--lf", folder=first.folder)
    assert again.log("test_it.txt") == ["b", "c", "c", "c", "c"]
    (first.folder / "test_it.txt").unlink()
    ahead = run_inner(SUITE, "--ff", folder=first.folder)
    assert ahead.log("test_it.txt") == ["b", "c", "c", "c", "c", "a", "a", "d"]


def test_stepwise_goes_on_behind_what_was_recovered(run_inner: RunInner) -> None:
    first = run_inner(SUITE, "--sw")
    (first.folder / "test_it.txt").unlink()
    again = run_inner(SUITE, "--sw", folder=first.folder)
    assert again.log("test_it.txt") == ["b"], again.output


def test_attempts_stay_with_their_test_whatever_order_another_plugin_chose(
    run_inner: RunInner,
) -> None:
    run = run_inner(
        {
            "conftest.py": """
                import pytest

                @pytest.hookimpl(trylast=True)
                def pytest_collection_modifyitems(items):
                    items.reverse()
            """,
            "test_it.py": SUITE,
        },
        *("-k", "not lost"),
    )
    assert run.log("test_it.txt") == ["d", "b", "a", "a"]


@pytest.fixture(scope="module")
def shown(run_inner: RunInner) -> dict[str, SuiteRun]:
    """Runs of the same suite, shown in different ways."""
    ways = {
        "no terminal": ("-p", "no:terminal", "--junitxml=junit.xml"),
        "quiet": ("-q",),
        "very quiet": ("-qq",),
        "verbose": ("-v",),
        "set-ups": ("--setup-show",),
    }
    return {name: run_inner(SUITE, *way) for name, way in ways.items()}


@pytest.mark.parametrize("way", ["no terminal", "quiet", "very quiet", "verbose", "set-ups"])
def test_verdicts_and_status_do_not_depend_on_what_is_shown(
    shown: dict[str, SuiteRun], way: str
) -> None:
    run = shown[way]
    assert run.status == 1
    assert run.verdicts == {
        "test_a_recovers": "recovered",
        "test_b_wrong": "failed",
        "test_c_lost": "unrecovered",
        "test_d_passes": "passed",
    }
    assert "INTERNALERROR" not in run.output


def test_without_a_terminal_nothing_is_written_to_it(shown: dict[str, SuiteRun]) -> None:
    assert shown["no terminal"].output == ""


def test_a_quiet_run_still_tells_the_counts(shown: dict[str, SuiteRun]) -> None:
    for way in ("quiet", "very quiet"):
        assert "verdicts: 1 passed, 1 recovered, 1 failed, 1 unrecovered" in shown[way].output
        assert "== resilience ==" not in shown[way].output


def test_a_verbose_run_names_every_attempt(shown: dict[str, SuiteRun]) -> None:
    output = shown["verbose"].output
    assert output.count("test_it.py::test_c_lost RERUN") == 3
    assert output.count("test_it.py::test_c_lost FAILED") == 1
    assert output.count("test_it.py::test_a_recovers RECOVERED") == 1


def test_set_ups_are_shown_for_every_attempt(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture(scope="module")
        def server():
            pass

        @pytest.fixture
        def page(server):
            pass

        def test_recovers(page):
            if note("call") == 1:
                lose_browser()
        """,
        "--setup-show",
    )
    assert run.status == 0, run.output
    assert run.output.count("SETUP    M server") == 1
    assert run.output.count("SETUP    F page") == 2
    assert run.output.count("TEARDOWN F page") == 2
    assert run.output.count("TEARDOWN M server") == 1
    assert run.output.count("test_it.py::test_recovers (fixtures used: page, server)") == 2


@pytest.mark.parametrize(
    "option",
    [
        *("--collect-only", "--setup-only", "--setup-plan"),
        *("--fixtures", "--markers", "--help"),
    ],
)
def test_where_no_test_runs_the_plugin_does_nothing(run_inner: RunInner, option: str) -> None:
    suite = """
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture
        def page():
            "A page."

        @pytest.mark.resilience(max_attempts=2)
        def test_page(page):
            note("called")
    """
    run = run_inner(suite, option)
    assert not (run.folder / ".resilience").exists()
    assert run.log("test_it.txt") == []
    plain = run_inner(suite, option, resilience=False, folder=run.folder)
    assert (run.status, _lines(run)) == (plain.status, _lines(plain))


def _lines(run: SuiteRun) -> list[str]:
    lines = run.output.splitlines()
    return [line.rpartition(" in ")[0] if line.endswith("==") else line for line in lines]


def test_items_that_are_no_functions_are_retried_too(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "conftest.py": """
                import pytest
                from tests.plugin.breakage import lose_browser, note

                class Step(pytest.Item):
                    def runtest(self):
                        if note(self.name) == 1 and self.name != "passes":
                            lose_browser()
                        assert self.name != "wrong"

                    def reportinfo(self):
                        return self.path, 0, self.name

                class Steps(pytest.File):
                    def collect(self):
                        for name in self.path.read_text().split():
                            yield Step.from_parent(self, name=name)

                def pytest_collect_file(parent, file_path):
                    if file_path.suffix == ".steps":
                        return Steps.from_parent(parent, path=file_path)
            """,
            "all.steps": "passes recovers wrong",
            "example.txt": """
                >>> from tests.plugin.breakage import lose_browser, note
                >>> if note("doctest") == 1: lose_browser()
            """,
        },
        "--doctest-glob=*.txt",
    )
    assert run.verdicts == {
        "passes": "passed",
        "recovers": "recovered",
        "wrong": "failed",
        "example.txt": "recovered",
    }, run.output


def test_the_debugger_opens_once_at_the_final_failure(run_inner: RunInner) -> None:
    # The debugger reads its commands from a pipe.
    typed = r"printf 'p 6 * 7\nc\np 6 * 7\nc\n' | exec " + sys.executable + ' -m pytest "$@"'
    run = run_inner(
        """
        from tests.plugin.breakage import lose_browser, note

        def test_recovers():
            if note("recovers") == 1:
                lose_browser()

        def test_lost():
            note("lost")
            lose_browser()

        def test_wrong():
            note("wrong")
            assert "price" == "9.99"
        """,
        "--pdb",
        interpreter=("sh", "-c", typed, "sh"),
    )
    assert run.log("test_it.txt") == ["recovers", "recovers", *["lost"] * 4, "wrong"], run.output
    assert run.output.count("entering PDB") == 2
    assert run.output.count("42") == 2
    assert run.verdicts == {
        "test_recovers": "recovered",
        "test_lost": "unrecovered",
        "test_wrong": "failed",
    }


def test_leaving_the_debugger_leaves_the_session(run_inner: RunInner) -> None:
    typed = r"printf 'q\n' | exec " + sys.executable + ' -m pytest "$@"'
    run = run_inner(
        """
        from tests.plugin.breakage import note

        def test_wrong():
            assert "price" == "9.99"

        def test_not_reached():
            note("reached")
        """,
        "--pdb",
        interpreter=("sh", "-c", typed, "sh"),
    )
    assert run.status == 2, run.output
    assert run.log("test_it.txt") == []
