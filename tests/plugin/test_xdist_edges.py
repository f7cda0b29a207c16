"""With pytest-xdist: what happens at its edges, where tests have been lost or run twice."""

from __future__ import annotations

import json

import pytest

from tests.conftest import FULL, SuiteRun
from tests.plugin.conftest import REPORT_LOG, RunInner, reports

XDIST = ("xdist.plugin",)
#: One that keeps scopes, and one that does not; the others with ACCEPTANCE=full.
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")[: None if FULL else 2]

each_mode = pytest.mark.parametrize("mode", MODES)


def test_no_attempt_is_reported_while_its_worker_runs_another_test(run_inner: RunInner) -> None:
    """What is put off would be; xdist ends a worker that does so."""
    conftest = """
        from pytest_resilience import ErrorType, Rule

        def pytest_resilience_classify():
            return [Rule("wire-cut", ErrorType.CONNECTION, types=("WireCut",))]
    """
    suite = """
        import pytest
        from tests.plugin.breakage import note

        class WireCut(Exception):
            pass

        @pytest.mark.resilience(strategies=["defer"])
        def test_cut():
            note("cut")
            raise WireCut("cut")

        @pytest.mark.parametrize("number", range(4))
        def test_passes(number):
            pass
    """
    run = run_inner({"conftest.py": conftest, "test_it.py": suite}, "-n2", plugins=XDIST)
    assert "INTERNALERROR" not in run.output
    assert run.counts == {"passed": 4, "unrecovered": 1}, run.output
    assert run.log("test_it.txt") == ["cut"]


@each_mode
def test_another_plugin_has_a_test_run_again_whose_worker_was_lost(
    run_inner: RunInner, mode: str
) -> None:
    """It asks the scheduler to, which xdist's own can in two modes only."""
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import note

        @pytest.mark.flaky(reruns=2)
        def test_theirs():
            if note("theirs") == 1:
                os._exit(1)

        def test_ours():
            if note("ours") == 1:
                os._exit(1)

        def test_passes():
            pass
    """
    # It looks after lost workers only if xdist was found by itself.
    run = run_inner(
        suite, "-n2", "--dist", mode, "-p", "no:asyncio", "-p", "no:flaky", autoload=True
    )
    assert run.counts == {"passed": 1, "recovered": 2}, run.output
    assert sorted(run.log("test_it.txt")) == ["ours", "ours", "theirs", "theirs"]
    assert not run.attempts("test_theirs")[0]["strategy"]
    assert run.attempts("test_ours")[0]["strategy"] in ("worker_switch", "worker_restart")
    assert run.status == 0


@each_mode
def test_the_last_test_of_all_runs_again_though_xdist_has_begun_to_end(
    run_inner: RunInner, mode: str
) -> None:
    suite = """
        import os
        from tests.plugin.breakage import note

        def test_last():
            if note("last") == 1:
                os._exit(1)
    """
    run = run_inner(suite, "-n2", "--dist", mode, plugins=XDIST)
    assert run.verdicts == {"test_last": "recovered"}, run.output
    assert run.log("test_it.txt") == ["last", "last"]
    assert run.status == 0


class TestGroups:
    """`--dist loadgroup`, which goes by node ids that end in ``@`` and the name of the group."""

    # Some versions of xdist cannot write that into the node ids of some versions of pytest, and
    # groups are nothing to them then: here tests are called so from the beginning.
    SUITE = """
        import os
        from tests.plugin.breakage import note

        def made(name):
            def test(worker_id):
                note(f"{name} {worker_id}")
                if name == "test_2@shop" and note("killer") == 1:
                    os._exit(1)
            return test

        for group in ("shop", "cart"):
            for number in range(5):
                name = f"test_{number}@{group}"
                globals()[name] = made(name)
    """

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, run_inner: RunInner) -> SuiteRun:
        return run_inner(cls.SUITE, "-n2", "--dist", "loadgroup", plugins=XDIST)

    def test_each_test_has_its_verdict_though_a_worker_is_lost(self, run: SuiteRun) -> None:
        assert run.counts == {"passed": 9, "recovered": 1}, run.output
        assert run.verdicts["test_2@shop"] == "recovered"

    def test_what_is_left_of_a_group_goes_to_one_worker_in_order(self, run: SuiteRun) -> None:
        ran = [line.split() for line in run.log("test_it.txt") if line != "killer"]
        places = {
            group: [(name, worker) for name, worker in ran if name.endswith(group)]
            for group in ("shop", "cart")
        }
        shop = [name for name, _ in places["shop"]]
        assert shop == [f"test_{n}@shop" for n in (0, 1, 2, 2, 3, 4)]
        assert len({worker for _, worker in places["shop"][:3]}) == 1
        assert len({worker for _, worker in places["shop"][3:]}) == 1
        assert {worker for _, worker in places["shop"][3:]} != {places["shop"][0][1]}
        assert [name for name, _ in places["cart"]] == [f"test_{n}@cart" for n in range(5)]


def test_a_group_is_what_xdist_makes_of_the_marker(run_inner: RunInner) -> None:
    """Where it knows groups they stay together; where it does not, nothing else is lost."""
    suite = """
        import pytest
        from tests.plugin.breakage import note

        @pytest.mark.parametrize("number", range(6))
        @pytest.mark.parametrize("group", [
            pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("shop", "cart")
        ])
        def test_it(group, number, worker_id, request):
            note(f"{group} {worker_id} {request.node.nodeid}")
    """
    run = run_inner(suite, "-n2", "--dist", "loadgroup", plugins=XDIST)
    assert run.counts == {"passed": 12}, run.output
    ran = [line.split(maxsplit=2) for line in run.log("test_it.txt")]
    assert len(ran) == 12
    if all(nodeid.endswith(f"@{group}") for group, _, nodeid in ran):
        assert len({(group, worker) for group, worker, _ in ran}) == 2


def test_what_cannot_travel_is_left_behind(run_inner: RunInner) -> None:
    """An exception that holds a lock and a driver fails on one worker and is cured on another."""
    suite = """
        import threading
        import pytest
        from selenium.common.exceptions import InvalidSessionIdException
        from tests.plugin.breakage import LOST, note, of_driver

        class Unsendable(InvalidSessionIdException):
            def __init__(self):
                super().__init__(LOST, screen=object(), stacktrace=["at 0x1"])
                self.args = (threading.Lock(), LOST)

        @pytest.mark.resilience(strategies=["worker_switch", "worker_restart"])
        def test_moves(record_property):
            record_property("number", 1)
            if note("moves") == 1:
                raise of_driver(Unsendable()) from ValueError(threading.Lock())

        def test_passes():
            pass
    """
    options = ("-n2", "--report-log", "log.jsonl")
    run = run_inner(suite, *options, plugins=(*XDIST, *REPORT_LOG))
    assert run.verdicts == {"test_moves": "recovered", "test_passes": "passed"}, run.output
    assert "INTERNALERROR" not in run.output
    (leaving,) = [r for r in reports(run) if "resilience_handover" in r]
    assert leaving["resilience"]["exception"] == "Unsendable"
    assert json.dumps(leaving)


def test_attempts_are_counted_over_all_workers_however_these_were_asked_for(
    run_inner: RunInner,
) -> None:
    suite = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.resilience(strategies=["worker_switch", "worker_restart"])
        def test_lost():
            note(os.environ["PYTEST_XDIST_WORKER"])
            lose_browser()

        @pytest.mark.parametrize("number", range(3))
        def test_passes(number):
            pass
    """
    options = ("--tx", "2*popen", "--dist", "load", "--resilience-max-attempts=2")
    run = run_inner(suite, *options, plugins=XDIST)
    assert run.counts == {"passed": 3, "unrecovered": 1}, run.output
    first, second = run.log("test_it.txt")
    assert first != second


def test_what_recoveries_may_take_is_counted_over_all_workers(run_inner: RunInner) -> None:
    """What one worker has spent is not there for another."""
    conftest = """
        import time
        from pytest_resilience import ErrorType, ProgressiveRecoveryLevel, RecoveryStrategy

        class Slow(RecoveryStrategy):
            def __init__(self):
                super().__init__("slow", ProgressiveRecoveryLevel.BASIC, [ErrorType.BROWSER])

            def _execute_impl(self, error_info):
                time.sleep(1.2)
                return True

        def pytest_resilience_strategies():
            return [Slow()]
    """
    suite = """
        import time
        from pathlib import Path
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.resilience(strategies=["slow"])
        def test_spends(worker_id):
            Path("first").write_text(worker_id)
            if note("ran") == 1:
                lose_browser()
            Path("spent").touch()

        @pytest.mark.resilience(strategies=["slow"])
        def test_comes_too_late(worker_id):
            end = time.monotonic() + 60
            while not Path("spent").exists() and time.monotonic() < end:
                time.sleep(0.02)
            assert Path("first").read_text() != worker_id
            lose_browser()
    """
    files = {"conftest.py": conftest, "test_it.py": suite}
    run = run_inner(files, "-n2", "--resilience-budget=1", plugins=XDIST)
    assert run.counts == {"recovered": 1, "unrecovered": 1}, run.output
    assert run.verdicts["test_spends"] == "recovered"
    (late,) = run.attempts("test_comes_too_late")
    assert late["outcome"] == "failed"
    assert run.log("test_it.txt") == ["ran", "ran"]


@pytest.mark.parametrize("options", [("-n0",), ()], ids=["no-workers", "none-asked-for"])
def test_without_workers_there_is_no_other_one_and_the_report_says_so(
    run_inner: RunInner, options: tuple[str, ...]
) -> None:
    suite = """
        import pytest
        from tests.plugin.breakage import lose_browser, note

        @pytest.mark.resilience(strategies=["worker_switch", "worker_restart"])
        def test_lost():
            note("lost")
            lose_browser()

        def test_passes():
            pass
    """
    run = run_inner(suite, *options, plugins=XDIST)
    assert run.verdicts == {"test_lost": "unrecovered", "test_passes": "passed"}, run.output
    assert run.log("test_it.txt") == ["lost"]
    assert run.summary["details"]["warnings"] == []
    (lost, _) = run.summary["details"]["tests"]
    assert "worker_switch" in lost["reason"]


class TestFirstFailure:
    """`-x` on two workers, one of which is in the middle of a test when the other one fails."""

    SUITE = """
        import time
        from pathlib import Path
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="session")
        def wide(worker_id):
            note(f"{worker_id} wide+")
            yield
            note(f"{worker_id} wide-")

        def is_first(worker_id):
            try:
                with Path("first").open("x") as file:
                    file.write(worker_id)
                return True
            except FileExistsError:
                return False

        @pytest.mark.parametrize("number", range(30))
        def test_it(wide, worker_id, number):
            if is_first(worker_id):
                end = time.monotonic() + 60
                while not Path("failing").exists() and time.monotonic() < end:
                    time.sleep(0.01)
                time.sleep(0.5)
                Path("ended").write_text(f"test_it[{number}]")
            elif Path("first").read_text() != worker_id:
                Path("failing").touch()
                assert False
    """

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, run_inner: RunInner) -> SuiteRun:
        return run_inner(cls.SUITE, "-n2", "-x", plugins=XDIST)

    def test_what_is_under_way_elsewhere_ends_and_is_reported(self, run: SuiteRun) -> None:
        assert run.verdicts[(run.folder / "ended").read_text("utf-8")] == "passed", run.output
        assert run.counts["failed"] == 1
        assert len(run.verdicts) < 30

    def test_fixtures_are_set_up_once_on_each_worker_and_torn_down(self, run: SuiteRun) -> None:
        told = sorted(run.log("test_it.txt"))
        assert told == ["gw0 wide+", "gw0 wide-", "gw1 wide+", "gw1 wide-"]


def test_a_browser_is_replaced_on_its_own_worker_alone(run_inner: RunInner) -> None:
    suite = """
        import os
        import time
        import pytest
        from tests.plugin.breakage import Grid, note

        @pytest.fixture(scope="session")
        def grid():
            grid = Grid()
            yield grid
            grid.close()

        @pytest.fixture(scope="session")
        def driver(grid, worker_id):
            note(f"{worker_id} browser")
            driver = grid.driver()
            yield driver
            driver.quit()

        @pytest.mark.parametrize("number", range(6))
        def test_it(driver, grid, number, worker_id):
            time.sleep(0.1)
            if worker_id == "gw0" and note("gw0 ran") == 2:
                grid.lose(driver)
            assert driver.title == "a page"
    """
    run = run_inner(suite, "-n2", plugins=XDIST)
    assert run.counts == {"passed": 5, "recovered": 1}, run.output
    browsers = [line for line in run.log("test_it.txt") if line.endswith("browser")]
    assert sorted(browsers) == ["gw0 browser", "gw0 browser", "gw1 browser"]
