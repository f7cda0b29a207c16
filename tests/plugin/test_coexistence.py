"""Beside other plugins: those that re-run tests, those that report them, and all at once."""

from __future__ import annotations

import html
import json
import re

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

RERUNFAILURES = ("pytest_rerunfailures",)

FOREIGN = """
    import pytest
    from tests.plugin.breakage import Grid, lose_browser, note

    @pytest.fixture(scope="session")
    def grid():
        grid = Grid()
        yield grid
        grid.close()

    @pytest.fixture(scope="session")
    def driver(grid):
        note("driver+")
        driver = grid.driver()
        yield driver
        note("driver-")
        driver.quit()

    @pytest.fixture(scope="session")
    def logged_in(driver):
        note("login+")
        return driver

    def test_driver_dies(logged_in, grid):
        if note("dies") == 1:
            grid.lose(logged_in)
        assert logged_in.title == "a page"

    def test_product_is_wrong(logged_in):
        note("wrong")
        assert logged_in.title == "another page"

    def test_always_lost():
        note("lost")
        lose_browser()

    def test_passes(logged_in):
        assert logged_in.title == "a page"
"""


@pytest.fixture(scope="module")
def foreign(run_inner: RunInner) -> SuiteRun:
    """A run in which pytest-rerunfailures re-runs every test."""
    return run_inner(FOREIGN, "--reruns=2", plugins=RERUNFAILURES)


def test_no_attempt_is_added_to_those_of_rerunfailures(foreign: SuiteRun) -> None:
    log = foreign.log("test_it.txt")
    counts = {name: log.count(name) for name in ("dies", "wrong", "lost")}
    assert counts == {"dies": 2, "wrong": 3, "lost": 3}, foreign.output


def test_between_attempts_of_rerunfailures_the_environment_is_repaired(foreign: SuiteRun) -> None:
    log = [line for line in foreign.log("test_it.txt") if line[:6] in ("driver", "login+")]
    assert log == ["driver+", "login+", "driver-", "driver+", "login+", "driver-"]


def test_attempts_of_rerunfailures_are_recorded_and_diagnosed(foreign: SuiteRun) -> None:
    assert foreign.verdicts == {
        "test_driver_dies": "recovered",
        "test_product_is_wrong": "failed",
        "test_always_lost": "unrecovered",
        "test_passes": "passed",
    }, foreign.output
    assert [a["error_type"] for a in foreign.attempts("test_always_lost")] == ["browser"] * 3
    assert [a["number"] for a in foreign.attempts("test_product_is_wrong")] == [1, 2, 3]


def left_to(run: SuiteRun) -> list[str]:
    """Return what the run says at its end of tests that belong to other plugins."""
    lines = [line for line in run.output.splitlines() if line.startswith("warning: ")]
    assert [w for w in run.summary["details"]["warnings"] if "left to" in w] == [
        line.removeprefix("warning: ") for line in lines if "left to" in line
    ]
    return [line.partition(" left to ")[0][9:] + line.partition("left to")[2].partition(":")[0]
            for line in lines if line.endswith("[rerun-tests]")]  # fmt: skip


def test_who_re_runs_them_is_said_once(foreign: SuiteRun) -> None:
    assert left_to(foreign) == ["4 tests pytest-rerunfailures"], foreign.output


SIMPLE = """
    import pytest
    from tests.plugin.breakage import lose_browser, note

    def test_wrong():
        note("wrong")
        assert "price" == "9.99"

    def test_lost():
        note("lost")
        lose_browser()

    @pytest.mark.flaky(reruns=1)
    def test_marked():
        note("marked")
        lose_browser()
"""


def _calls(run: SuiteRun) -> dict[str, int]:
    log = run.log("test_it.txt")
    return {name: log.count(name) for name in ("wrong", "lost", "marked")}


def test_rerunfailures_owns_the_tests_marked_for_it_and_we_the_rest(run_inner: RunInner) -> None:
    run = run_inner(SIMPLE, plugins=RERUNFAILURES)
    assert _calls(run) == {"wrong": 1, "lost": 4, "marked": 2}, run.output
    assert left_to(run) == ["1 test pytest-rerunfailures"], run.output


def test_what_several_workers_have_to_say_of_them_is_said_once(run_inner: RunInner) -> None:
    run = run_inner(SIMPLE, "-n2", plugins=(*RERUNFAILURES, "xdist.plugin"))
    assert _calls(run) == {"wrong": 1, "lost": 4, "marked": 2}, run.output
    assert left_to(run) == ["1 test pytest-rerunfailures"], run.output


def test_rerunfailures_owns_all_tests_if_the_ini_file_says_so(run_inner: RunInner) -> None:
    run = run_inner(SIMPLE, "-o", "reruns=2", plugins=RERUNFAILURES)
    assert _calls(run) == {"wrong": 3, "lost": 3, "marked": 2}, run.output


def test_a_marker_of_an_absent_plugin_changes_nothing(run_inner: RunInner) -> None:
    run = run_inner(SIMPLE)
    assert _calls(run) == {"wrong": 1, "lost": 4, "marked": 4}, run.output
    assert left_to(run) == []


def test_flaky_owns_the_tests_decorated_for_it_and_we_the_rest(run_inner: RunInner) -> None:
    run = run_inner(
        """
        from flaky import flaky
        from tests.plugin.breakage import lose_browser, note

        @flaky(max_runs=2)
        def test_decorated():
            note("decorated")
            lose_browser()

        @flaky(max_runs=3)
        def test_passes_later():
            if note("later") < 2:
                lose_browser()

        def test_plain():
            if note("plain") <= 2:
                lose_browser()
        """,
        plugins=("flaky.flaky_pytest_plugin",),
    )
    log = run.log("test_it.txt")
    assert {name: log.count(name) for name in ("decorated", "later", "plain")} == {
        "decorated": 2,
        "later": 2,
        "plain": 3,
    }, run.output
    assert run.verdicts["test_decorated"] == "unrecovered"
    assert run.verdicts["test_plain"] == "recovered"
    assert run.verdicts["test_passes_later"] in ("passed", "recovered")
    assert left_to(run) == ["2 tests flaky"], run.output


def test_pytest_html_shows_a_row_for_each_attempt(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        def test_passes():
            pass

        def test_recovers():
            attempt = note("recovers")
            print(f"this is attempt {attempt}")
            if attempt <= 2:
                lose_browser()

        def test_never_recovers():
            lose_browser()

        def test_wrong():
            assert "price" == "9.99"

        def test_skipped():
            pytest.skip("not today")

        @pytest.fixture
        def ends_badly():
            yield
            lose_browser()

        def test_teardown(ends_badly):
            pass
        """,
        *("--html=rows.html", "--self-contained-html"),
        plugins=("pytest_html.plugin", "pytest_metadata.plugin"),
    )
    text = (run.folder / "rows.html").read_text(encoding="utf-8")
    found = re.search(r'data-jsonblob="([^"]*)"', text)
    assert found is not None, run.output
    tests = json.loads(html.unescape(found[1]))["tests"]
    rows = {name.partition("::")[2]: row for name, row in tests.items()}
    assert {name: [r["result"] for r in row] for name, row in rows.items()} == {
        "test_passes": ["Passed"],
        "test_recovers": ["Rerun", "Rerun", "Passed"],
        "test_never_recovers": ["Rerun", "Rerun", "Rerun", "Failed"],
        "test_wrong": ["Failed"],
        "test_skipped": ["Skipped"],
        "test_teardown": ["Passed"],
    }
    *superseded, final = [row["log"] for row in rows["test_recovers"]]
    assert all("InvalidSessionIdException" in log for log in superseded)
    assert [f"this is attempt {n}" in final for n in (1, 2, 3)] == [False, False, True]
    assert "5 Rerun" in text


def test_allure_has_one_result_for_each_test_and_that_of_its_last_attempt(
    run_inner: RunInner,
) -> None:
    """Whole ones: it closes a result when an item ends, and loses those that are not closed."""
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.fixture
        def page():
            yield

        def test_passes(page):
            pass

        def test_recovers(page):
            if note("recovers") <= 2:
                lose_browser()

        @pytest.fixture
        def fragile():
            if note("fragile") == 1:
                lose_browser()

        def test_set_up_recovers(fragile):
            pass

        def test_never_recovers(page):
            lose_browser()

        def test_wrong(page):
            assert "price" == "9.99"

        def test_skipped():
            pytest.skip("not today")
        """,
        "--alluredir=allure",
        plugins=("allure_pytest.plugin",),
    )
    results = [json.loads(p.read_text("utf-8")) for p in run.folder.glob("allure/*-result.json")]
    assert sorted((result["name"], result["status"]) for result in results) == [
        ("test_never_recovers", "broken"),
        ("test_passes", "passed"),
        ("test_recovers", "passed"),
        ("test_set_up_recovers", "passed"),
        ("test_skipped", "skipped"),
        ("test_wrong", "failed"),
    ], run.output
    for key in ("uuid", "historyId", "testCaseId"):
        assert len({result[key] for result in results}) == len(results)
    assert all(0 < result["start"] <= result["stop"] for result in results)
    told = {result["name"]: result.get("statusDetails", {}) for result in results}
    assert "InvalidSessionIdException" in told["test_never_recovers"]["message"]
    assert told["test_recovers"] == told["test_set_up_recovers"] == {}


def test_all_plugins_of_the_environment_together_disturb_nothing(run_inner: RunInner) -> None:
    run = run_inner(
        """
        from tests.plugin.breakage import lose_browser, note

        def test_passes():
            pass

        def test_recovers():
            if note("recovers") == 1:
                lose_browser()
        """,
        *("--html=rows.html", "--timeout=30", "--junitxml=junit.xml", "--report-log=log.jsonl"),
        autoload=True,
    )
    assert run.status == 0, run.output
    assert run.verdicts == {"test_passes": "passed", "test_recovers": "recovered"}


@pytest.mark.parametrize("name", ["resilience", "pytest_resilience"])
def test_the_plugin_is_found_by_its_name_where_plugins_are_not_loaded_by_themselves(
    run_inner: RunInner, name: str
) -> None:
    run = run_inner(
        "def test_passes(): pass",
        *("-p", name),
        autoload=True,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert run.status == 0, run.output
    assert run.verdicts == {"test_passes": "passed"}


def test_naming_the_package_where_plugins_load_by_themselves_does_no_harm(
    run_inner: RunInner,
) -> None:
    run = run_inner("def test_passes(): pass", "-p", "pytest_resilience", autoload=True)
    assert (run.status, run.verdicts) == (0, {"test_passes": "passed"}), run.output


def test_the_plugin_can_be_blocked_by_its_name(run_inner: RunInner) -> None:
    run = run_inner(
        "def test_passes(): pass", "-p", "no:resilience", autoload=True, resilience=False
    )
    assert run.status == 0
    refused = run_inner("def test_passes(): pass", "-p", "no:resilience", autoload=True)
    assert refused.status == 4
    assert "unrecognized arguments: --resilience" in refused.output


def test_warnings_as_errors_find_none_of_ours(run_inner: RunInner) -> None:
    run = run_inner(
        """
        from tests.plugin.breakage import Grid, lose_browser, note

        def test_recovers():
            if note("call") == 1:
                lose_browser()

        def test_passes():
            pass
        """,
        *("-W", "error"),
    )
    assert run.status == 0, run.output
    assert "warning" not in run.output.lower()
