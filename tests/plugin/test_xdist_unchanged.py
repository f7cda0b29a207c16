"""With pytest-xdist: what it and other plugins do stays as it is."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.plugin.conftest import RunInner

XDIST = ("xdist.plugin",)
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")


KILLER = """
    import os
    import pytest
    from tests.plugin.breakage import note

    def test_before():
        note("before")

    def test_kills_every_worker():
        note("killer")
        os._exit(3)

    @pytest.mark.parametrize("number", range(3))
    def test_passes(number):
        note(f"passes {number}")
"""


def test_pytest_html_shows_tests_whose_workers_were_lost(run_inner: RunInner) -> None:
    html = ("pytest_html.plugin", "pytest_metadata.plugin")
    options = ("-n2", "--html", "report.html", "--self-contained-html")
    run = run_inner(KILLER, *options, plugins=(*XDIST, *html))
    page = (run.folder / "report.html").read_text("utf-8")
    assert run.counts == {"passed": 4, "unrecovered": 1}, run.output
    for told in ("1 Failed", "4 Passed", "2 Reruns"):
        assert told in page


def test_what_belongs_to_a_worker_stays_its_own(run_inner: RunInner) -> None:
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="session")
        def wide(worker_id):
            note(f"{worker_id} wide+")
            yield worker_id
            note(f"{worker_id} wide-")

        @pytest.mark.parametrize("number", range(6))
        def test_it(number, wide, worker_id, testrun_uid):
            assert wide == worker_id == os.environ["PYTEST_XDIST_WORKER"]
            if note(f"ran {number}") == 1 and number == 3:
                os._exit(1)
    """
    run = run_inner(suite, "-n2", "--maxprocesses=2", plugins=XDIST)
    assert run.counts == {"passed": 5, "recovered": 1}, run.output
    ups = [line for line in run.log("test_it.txt") if line.endswith("wide+")]
    downs = [line for line in run.log("test_it.txt") if line.endswith("wide-")]
    assert len(ups) == len(downs) + 1


def test_the_first_failure_stops_the_session_and_nothing_is_called_lost(
    run_inner: RunInner,
) -> None:
    suite = """
        import time
        from pathlib import Path
        import pytest

        def test_wrong():
            # Otherwise the other worker may have begun nothing when this ends the session.
            end = time.monotonic() + 60
            while not Path("begun").exists() and time.monotonic() < end:
                time.sleep(0.01)
            assert False

        @pytest.mark.parametrize("number", range(40))
        def test_passes(number):
            Path("begun").touch()
            time.sleep(0.02)
    """
    run = run_inner(suite, "-n2", "-x", plugins=XDIST)
    assert run.status == 2, run.output
    assert run.counts["failed"] == 1
    assert set(run.counts) == {"failed", "passed"}
    assert sum(run.counts.values()) < 41
    assert "stopped" in run.summary["session"]["facts"]["not run"]


def test_more_workers_than_tests_are_no_problem(run_inner: RunInner) -> None:
    run = run_inner("def test_it(): pass", "-n4", plugins=XDIST)
    assert run.counts == {"passed": 1}, run.output
    assert run.status == 0


@pytest.mark.parametrize("mode", MODES)
def test_without_any_test_pytest_says_so(run_inner: RunInner, mode: str) -> None:
    run = run_inner("", "-n2", "--dist", mode, plugins=XDIST)
    assert run.status == 5, run.output


def test_as_many_failures_as_allowed_stop_the_session(run_inner: RunInner) -> None:
    """Attempts that are superseded count as none."""
    suite = """
        import time
        from pathlib import Path
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.parametrize("number", range(3))
        def test_recovers(number):
            if note(f"recovers {number}") == 1:
                lose_browser()
            Path(f"recovered-{number}").touch()

        @pytest.mark.parametrize("number", range(20))
        def test_wrong(number):
            # What has not begun when the session ends is not run.
            end = time.monotonic() + 60
            while len(list(Path().glob("recovered-*"))) < 3 and time.monotonic() < end:
                time.sleep(0.01)
            assert False

        def test_passes():
            pass
    """
    run = run_inner(suite, "-n2", "--maxfail=2", plugins=XDIST)
    assert run.status == 2, run.output
    assert "stopping after 2 failures" in run.output
    assert run.counts["recovered"] == 3
    assert 2 <= run.counts["failed"] < 20


def test_no_more_workers_are_replaced_than_xdist_may(run_inner: RunInner) -> None:
    """The second loss is one too many; the worker that is left runs the rest."""
    run = run_inner(KILLER, "-n2", "--max-worker-restart=1", plugins=XDIST)
    assert "maximum crashed workers reached: 1" in run.output
    assert "gw3" not in run.output.replace(str(run.folder), "")
    assert run.verdicts["test_kills_every_worker"] == "unrecovered", run.output
    assert run.log("test_it.txt").count("killer") <= 3
    assert len(run.verdicts) == 5
    assert run.status == 1


def test_no_more_workers_run_than_asked_for(run_inner: RunInner) -> None:
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser

        WORKER = os.environ["PYTEST_XDIST_WORKER"]

        @pytest.mark.parametrize("number", range(4))
        def test_it(number):
            if WORKER == "gw0":
                lose_browser()
    """
    run = run_inner(suite, "-n", "auto", "--maxprocesses=1", plugins=XDIST)
    assert run.status == 0, run.output
    # One takes the place of the first, and no third one starts.
    assert {test["worker"] for test in run.summary["tests"]} == {"gw1"}
    assert "gw2" not in run.output.replace(str(run.folder), "")


def test_reports_of_others_have_one_entry_for_a_test_that_changed_workers(
    run_inner: RunInner,
) -> None:
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser

        @pytest.mark.resilience(strategies=["worker_restart"])
        def test_moves():
            if os.environ["PYTEST_XDIST_WORKER"] == "gw0":
                lose_browser()
    """
    plugins = (*XDIST, "pytest_html.plugin", "pytest_metadata.plugin")
    options = ("-n1", "--html", "report.html", "--self-contained-html", "--junitxml", "j.xml")
    run = run_inner(suite, *options, plugins=plugins)
    assert run.verdicts == {"test_moves": "recovered"}, run.output
    (case,) = ET.parse(run.folder / "j.xml").getroot()[0]
    assert (case.get("name"), [child.tag for child in case]) == ("test_moves", [])
    page = (run.folder / "report.html").read_text("utf-8")
    assert "0 Failed" in page
    assert "1 Passed" in page
    assert "1 Reruns" in page
