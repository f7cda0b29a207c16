"""Without ``--resilience`` the plugin is options and markers, and nothing else."""

from __future__ import annotations

import re

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

SUITE = {
    "conftest.py": """
        import sys

        HEAVY = ("selenium", "duckdb", "psutil", "jinja2", "click", "rich", "urllib3", "filelock")

        def pytest_sessionfinish(session):
            manager = session.config.pluginmanager
            found = set()
            for plugin in manager.get_plugins():
                name = getattr(plugin, "__name__", type(plugin).__module__)
                if name.startswith("pytest_resilience"):
                    found |= {hook.name for hook in manager.get_hookcallers(plugin) or ()}
            loaded = sorted(name for name in HEAVY if name in sys.modules)
            with open("found.txt", "w") as file:
                print(*sorted(found), file=file)
                print(*loaded, file=file)
    """,
    "test_it.py": """
        import pytest

        @pytest.fixture(scope="session")
        def server():
            yield

        @pytest.fixture(scope="module", params=["small", "large"])
        def size(request, server):
            return request.param

        @pytest.fixture(autouse=True)
        def clean():
            yield

        class TestPage:
            @pytest.fixture(scope="class")
            def page(self, size):
                yield

            def test_page(self, page):
                pass

            @pytest.mark.resilience(max_attempts=2)
            def test_wrong(self, page):
                assert "price" == "9.99"

        @pytest.mark.no_resilience
        def test_skipped(size):
            pytest.skip("not today")
    """,
}


def _text(run: SuiteRun) -> str:
    # Times and addresses differ in any two runs.
    return re.sub(r"in \d+\.\d+s|at 0x[0-9a-f]+", "", run.output)


@pytest.mark.parametrize("options", [("--setup-show", "-v"), ("-q", "--durations=0", "-vv")])
def test_the_output_is_that_of_pytest_without_the_plugin(
    run_inner: RunInner, options: tuple[str, ...]
) -> None:
    markers = ("-o", "markers=resilience\nno_resilience", "--no-header", "--durations-min=9")
    arguments = (*options, *markers)
    run = run_inner(SUITE, *arguments, resilience=False, autoload=True)
    blocked = run_inner(
        *(SUITE, *arguments, "-p", "no:resilience"),
        resilience=False,
        autoload=True,
        folder=run.folder,
    )
    assert _text(run) == _text(blocked)
    assert run.status == blocked.status == 1


def test_it_listens_to_nothing_but_the_start_and_loads_nothing_heavy(run_inner: RunInner) -> None:
    run = run_inner(SUITE, resilience=False)
    assert run.log("found.txt") == [
        "pytest_addhooks pytest_addoption pytest_collection_finish pytest_configure",
        "",
    ], run.output
    assert not (run.folder / ".resilience").exists()


def test_a_suite_without_browsers_loads_no_browser_code_even_when_enabled(
    run_inner: RunInner,
) -> None:
    run = run_inner(SUITE)
    loaded = run.log("found.txt")[1].split()
    assert {"selenium", "psutil", "urllib3"}.isdisjoint(loaded), run.output


def test_every_option_is_documented_in_the_help(run_inner: RunInner) -> None:
    run = run_inner("", "--help", resilience=False)
    for option in ("--resilience-retry={infrastructure,ambiguous,all}", "--no-resilience-db"):
        assert option in run.output
    assert "resilience_max_attempts" in run.output
