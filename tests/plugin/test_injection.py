"""What is asked for in a wrong way, or cannot be injected, ends the run before any test."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

XDIST = ("xdist.plugin",)
MARKED = """
    import pytest

    @pytest.fixture
    def driver():
        return None

    @pytest.mark.inject_failure({arguments})
    def test_a(driver):
        open("ran.txt", "w").close()
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(
            '"crush"', "unknown type 'crush'; valid ones: connection_failure, resource", id="type"
        ),
        pytest.param(
            '"crash", "sever"',
            "unknown intensity 'sever'; valid ones: mild, moderate, severe. "
            "Did you mean 'severe'?",
            id="intensity",
        ),
        pytest.param('"crash", at="befor:3"', "Did you mean 'before'?", id="point"),
        pytest.param(
            '"crash", at="setup:drver"', "it has: driver. Did you mean 'driver'?",
            id="fixture",
        ),
        pytest.param('"crash", command="clik"', "Did you mean 'click'?", id="command"),
        pytest.param(
            '"crash", probability=1.5', "probability=1.5 is not valid; expected 0 to 1",
            id="probability",
        ),
        pytest.param(
            '"crash", severity="mild"', "no argument 'severity'; valid ones: type, intensity",
            id="keyword",
        ),
        pytest.param(
            '"worker_crash"', "needs tests that run in workers of pytest-xdist; possible without",
            id="no-worker",
        ),
        pytest.param(
            '"database_error"', "needs an implementation of the hook pytest_resilience_faults",
            id="no-hook",
        ),
        pytest.param(
            '"database_error", "severe"', "needs a history, and this run keeps none",
            id="no-history",
        ),
    ],
)  # fmt: skip
def test_a_wrong_marker_is_a_usage_error_that_names_the_test(
    run_inner: RunInner, arguments: str, told: str
) -> None:
    run = run_inner(MARKED.format(arguments=arguments), resilience=False)
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert "test_it.py::test_a: marker inject_failure" in run.output
    assert told in run.output
    assert run.log("ran.txt") == []
    assert not (run.folder / "ran.txt").exists()


@pytest.mark.parametrize("resilience", [True, False], ids=["resilience", "without"])
def test_in_workers_it_fails_the_collection_and_runs_nothing(
    run_inner: RunInner, resilience: bool
) -> None:
    run = run_inner(
        MARKED.format(arguments='"crush"'), "-n", "2", plugins=XDIST, resilience=resilience
    )
    assert run.status not in (0, pytest.ExitCode.NO_TESTS_COLLECTED), run.output
    assert "test_it.py::test_a: marker inject_failure: unknown type 'crush'" in run.output
    assert not (run.folder / "ran.txt").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(("--inject-failure", "crash:sever"), "Did you mean 'severe'?", id="spec"),
        pytest.param(
            ("--inject-failure", "crash@setup:drver"), "no test has a fixture 'drver'",
            id="fixture",
        ),
        pytest.param(
            ("--inject-failure", "hang", "--inject-failure", "worker_crash"), "pytest-xdist",
            id="need",
        ),
        pytest.param(("--inject-rate", "2"), "expected a number from 0 to 1", id="rate"),
        pytest.param(("--inject-seed", "x"), "expected a whole number, 0 or more", id="seed"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_a_usage_error(
    run_inner: RunInner, options: tuple[str, ...], told: str
) -> None:
    run = run_inner(MARKED.format(arguments='"crash"'), *options, resilience=False)
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert told in run.output
    assert not (run.folder / "ran.txt").exists()


def test_options_come_from_ini_file_and_environment_too(run_inner: RunInner) -> None:
    """Several are separated by commas or lines."""
    suite = {
        "pytest.ini": "[pytest]\nresilience_inject_failure = internal_error,\n  crash@before:3\n",
        "test_it.py": "def test_a(): pass",
    }
    shown = run_inner(suite, "--collect-only", resilience=False).output
    assert "test_it.py::test_a: internal_error:moderate@call, crash:moderate@before:3" in shown
    env = {"PYTEST_RESILIENCE_INJECT_FAILURE": "hang:mild"}
    shown = run_inner(suite, "--collect-only", resilience=False, env=env).output
    assert "test_it.py::test_a: hang:mild@call\n" in shown


def test_a_fault_of_ones_own_that_cannot_be_called_is_a_usage_error(run_inner: RunInner) -> None:
    suite = {
        "conftest.py": "def pytest_resilience_faults(): return {'database_error': 'sqlite'}",
        "test_it.py": MARKED.format(arguments='"database_error"'),
    }
    run = run_inner(suite, resilience=False)
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert "'database_error' is 'sqlite', which cannot be called" in run.output
