"""With --dist each: every worker runs every test, and may be lost at any moment.

What becomes of a test whose worker is lost is told in `test_scheduling_crashes`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

XDIST = ("xdist.plugin",)

#: Kills workers at moments that ``LOST`` names, and lets others wait for what they name.
CONFTEST = """
    import os
    import time
    from pathlib import Path

    import pytest

    MOMENT = os.environ["LOST"]
    WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")

    def wait_for(name):
        end = time.monotonic() + 60
        while not Path(name).exists():
            # Whoever waits in vain must not outlive the run.
            assert time.monotonic() < end, name
            time.sleep(0.01)

    class Controller:
        @pytest.hookimpl(optionalhook=True, trylast=True)
        def pytest_xdist_node_collection_finished(self, node):
            name = node.gateway.id
            if MOMENT == "collected" and name == "gw0":
                node.gateway._io.popen.kill()
            # What follows in xdist happens before it hears of anything else.
            Path(f"{name}-collected").touch()

        @pytest.hookimpl(optionalhook=True)
        def pytest_testnodedown(self, node):
            Path(f"{node.gateway.id}-down").touch()

    def pytest_configure(config):
        if not WORKER:
            config.pluginmanager.register(Controller())

    def pytest_collection(session):
        if MOMENT == "collected" and WORKER == "gw1":
            wait_for("gw0-down")
        Path(f"{WORKER}-collecting").touch()
        if MOMENT == "both" and WORKER == "gw2":
            # The other new one is known, and has nothing to show yet.
            wait_for("gw3-collecting")
        if MOMENT == "both" and WORKER == "gw3":
            wait_for("gw2-collected")

    def pytest_collection_modifyitems(items):
        if MOMENT == "other" and WORKER == "gw2":
            del items[-1]
"""
SUITE = {
    "conftest.py": CONFTEST,
    "test_it.py": """
        import os
        import pytest
        from conftest import MOMENT, WORKER, wait_for

        #: For each moment the worker and the test that ends it.
        LOST = {
            "last": {"gw0": 3},
            "other": {"gw0": 1},
            "both": {"gw0": 1, "gw1": 1},
            "again": {"gw0": 1, "gw2": 2},
        }

        @pytest.mark.parametrize("number", range(4))
        def test_it(number):
            if LOST.get(MOMENT, {}).get(WORKER) == number:
                if MOMENT == "both":
                    # Both are lost before either is replaced.
                    open(f"{WORKER}-there", "w").close()
                    wait_for("gw0-there")
                    wait_for("gw1-there")
                os._exit(1)
            if MOMENT in ("last", "other") and WORKER == "gw1":
                wait_for("gw2-collected")
    """,
}


def lost(run_inner: RunInner, moment: str) -> SuiteRun:
    """Run the suite on two workers, of which some are lost at a moment."""
    run = run_inner(
        SUITE, "-n2", "--dist", "each", plugins=XDIST, env={"LOST": moment}, timeout=120
    )
    assert "INTERNALERROR" not in run.output, run.output
    assert run.status == 1, run.output
    return run


@pytest.mark.parametrize(
    ("moment", "counts"),
    [
        pytest.param("last", {"passed": 7, "unrecovered": 1}, id="in its last test"),
        pytest.param("both", {"passed": 6, "unrecovered": 2}, id="both at once"),
        pytest.param("again", {"passed": 6, "unrecovered": 2}, id="and the one that stands in"),
    ],
)
def test_each_test_has_a_verdict_of_each_worker(
    moment: str, counts: dict[str, int], run_inner: RunInner
) -> None:
    run = lost(run_inner, moment)
    assert run.counts == counts, run.output
    told = Counter(test["nodeid"] for test in run.summary["tests"])
    assert told == {f"test_it.py::test_it[{number}]": 2 for number in range(4)}


def test_a_worker_that_is_lost_before_the_others_have_collected_is_replaced(
    run_inner: RunInner,
) -> None:
    """Nothing had begun, so that nothing is lost."""
    run = run_inner(
        SUITE, "-n2", "--dist", "each", plugins=XDIST, env={"LOST": "collected"}, timeout=120
    )
    assert "INTERNALERROR" not in run.output
    assert run.counts == {"passed": 8}, run.output
    assert run.status == 0


def test_what_the_new_worker_has_not_collected_has_no_verdict(run_inner: RunInner) -> None:
    """It cannot take what was left, and nobody else can: that is told, and nothing waits."""
    run = lost(run_inner, "other")
    told = Counter(test["verdict"] for test in run.summary["tests"])
    # Of four on each of two workers, one was lost with its worker and two were left there.
    assert told == {"passed": 5, "unrecovered": 3}, run.output
