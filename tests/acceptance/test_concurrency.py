"""Fewer browsers at once: real Chromium, counted from outside, on memory that is really short."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psutil
import pytest

from tests.acceptance.inner import Run, processes_left, sources
from tests.acceptance.memory_faults import IMPOSSIBLE, Group

if TYPE_CHECKING:
    from tests.conftest import RunSuite, SuiteRun

pytestmark = pytest.mark.browser

#: A browser for each test.
EACH = """
    import time
    import pytest
    import lab

    @pytest.fixture
    def driver():
        with lab.browser() as driver:
            yield driver

    @pytest.mark.parametrize("number", range({tests}))
    def test_shop(driver, number):
        driver.get(lab.PAGE)
        time.sleep(0.3)
        assert driver.title == "shop"
"""
#: One browser for all tests of a worker.
SHARED = EACH.replace("@pytest.fixture\n", '@pytest.fixture(scope="session")\n')
#: Each test fills memory for a while.
HUNGRY = """
    import os
    import time
    from pathlib import Path
    import pytest
    import lab

    WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    FILL = '''
        const kept = window.kept = [];
        for (let i = 0; i < {mib}; i++) kept.push(new Uint8Array(1048576).fill(i % 250 + 1));
        return kept.length
    '''

    @pytest.fixture
    def driver():
        driver = lab.launch()
        yield driver
        driver.quit()

    @pytest.mark.parametrize("number", range({tests}))
    def test_fills_memory(driver, number):
        driver.get(lab.PAGE)
        place = Path("there-" + os.environ.get("PYTEST_XDIST_WORKER", "main"))
        if not place.exists():
            # Its first: all workers at once, however slow the machine is.
            place.touch()
            end = time.monotonic() + 60
            while time.monotonic() < end and len(list(Path().glob("there-*"))) < WORKERS:
                time.sleep(0.05)
        assert driver.execute_script(FILL) == {mib}
        time.sleep(1.5)
        assert driver.execute_script("return kept.length") == {mib}
"""
#: Two workers, whose directories for temporary files are not among those of browsers.
TWO = ("-n", "2", "--basetemp", "base")
#: MiB that a hungry page wants; what pytest with its workers and one browser need besides, and
#: each browser more.
PAGE_MIB, BASE_MIB, BROWSER_MIB = 300, 560, 150


class Census:
    """Counts browsers from outside, as long as it lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        #: Of the look that saw the most browsers: their profiles, and the processes of each.
        self.most: dict[str, list[str]] = {}

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._over.wait(0.05):
            seen = self._browsers()
            if len(seen) > len(self.most):
                self.most = seen

    def _browsers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for process in psutil.process_iter(["name", "cmdline", "status", "ppid"]):
            known = process.info
            arguments = known["cmdline"] or ()
            main = "chromium" in (known["name"] or "") and "--type=" not in " ".join(arguments)
            if main and known["status"] != "zombie":
                # By profile: a child that has yet to become another program looks like its parent.
                for profile in (a for a in arguments if a.startswith("--user-data-dir=")):
                    if str(self._folder) in profile:
                        told = f"{process.pid} of {known['ppid']}, {known['status']}"
                        found.setdefault(profile, []).append(told)
        return found


def running(folder: Path, text: str, temporary: Path, *args: str) -> subprocess.Popen[str]:
    """Start a session of its own, with the suite `text`."""
    folder.mkdir()
    for name, source in sources({"test_it.py": text}).items():
        import textwrap

        (folder / name).write_text(textwrap.dedent(source), "utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.Popen(
        [
            sys.executable, "-m", "pytest", "--rootdir", str(folder), "-p", "no:cacheprovider",
            "-p", "pytest_resilience.plugin.main", "--resilience", *args,
        ],
        cwd=folder,
        env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def test_two_sessions_at_once_never_have_two_browsers(tmp_path: Path, temporary: Path) -> None:
    """With --resilience-max-browsers 1 they take turns; both pass."""
    with Census(temporary) as census:
        sessions = [
            running(
                tmp_path / name, EACH.format(tests=2), temporary, "--resilience-max-browsers", "1"
            )
            for name in ("one", "other")
        ]
        outputs = [session.communicate(timeout=480)[0] for session in sessions]
    assert [session.returncode for session in sessions] == [0, 0], outputs
    assert len(census.most) == 1, (census.most, outputs)
    assert any("waiting for a browser" in output or "wait" in output for output in outputs)


@pytest.mark.parametrize(("suite", "tests"), [(EACH, 6), (SHARED, 12)], ids=["function", "session"])
def test_workers_take_turns(run_browsers: Run, temporary: Path, suite: str, tests: int) -> None:
    """Two workers and one slot: also one that keeps its browser gives it to the other."""
    with Census(temporary) as census:
        run = run_browsers(
            {"test_it.py": suite.format(tests=tests)},
            *TWO, "--resilience-max-browsers", "1", "--resilience-max-wait", "60",
            plugins=["xdist"],
        )  # fmt: skip
    assert run.counts == {"passed": tests}, run.output
    assert len(census.most) == 1, (census.most, run.output)
    assert run.summary["concurrency"]["extra"] == 0
    assert {test["worker"] for test in run.summary["tests"]} == {"gw0", "gw1"}
    # The folder of its slots is gone.
    assert list(temporary.glob("pytest-resilience-*")) == []


def test_a_test_with_two_browsers_does_not_wait_for_itself(run_browsers: Run) -> None:
    """Its second browser is let in beyond the limit, at once, and that is told."""
    run = run_browsers(
        {
            "test_it.py": """
                import lab

                def test_chat():
                    with lab.browser("one") as one, lab.browser("other") as other:
                        one.get(lab.PAGE)
                        other.get(lab.PAGE)
            """
        },
        "--resilience-max-browsers", "1",
    )  # fmt: skip
    assert run.counts == {"passed": 1}, run.output
    assert (run.summary["concurrency"]["extra"], run.summary["concurrency"]["waits"]) == (1, 0)
    assert "1 beyond the limit" in run.output


def test_a_killed_worker_frees_its_slot(run_browsers: Run, temporary: Path) -> None:
    """The kernel does: the others go on, although the browser's owner said nothing."""
    run = run_browsers(
        {
            "test_it.py": EACH.format(tests=3)
            + """
    def test_kills_its_worker(driver):
        import os, pathlib, signal
        mark = pathlib.Path(__file__).with_name("killed")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""
        },
        *TWO, "--resilience-max-browsers", "1",
        plugins=["xdist"],
    )  # fmt: skip
    assert run.counts == {"passed": 3, "recovered": 1}, run.output
    assert run.summary["concurrency"]["cap"] == 1


def test_a_limit_that_others_use_up_is_told(tmp_path: Path, temporary: Path) -> None:
    """Who waits in vain fails with a message that names the option and the holder."""
    one = running(
        tmp_path / "one",
        """
            import time, lab

            def test_long():
                with lab.browser():
                    while not (lab.HERE / "end").exists():
                        time.sleep(0.1)
        """,
        temporary,
        "--resilience-max-browsers", "1",
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not (tmp_path / "one" / "profiles.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    other = running(
        tmp_path / "other", EACH.format(tests=1), temporary,
        "--resilience-max-browsers", "1", "--resilience-max-wait", "2",
    )  # fmt: skip
    output = other.communicate(timeout=480)[0]
    (tmp_path / "one" / "end").touch()
    one.communicate(timeout=480)
    assert (one.returncode, other.returncode) == (0, 1), output
    assert "--resilience-max-browsers is 1, and in use are 1: main of one (pid" in output
    assert "1 unrecovered" in output
    assert processes_left(temporary) == [], "the driver of the browser that was not let in"


@pytest.fixture
def group() -> Iterator[Group]:
    """A control group whose memory bears fewer hungry pages than there are workers."""
    group = Group()
    yield group
    group.remove()


@pytest.mark.slow
@pytest.mark.skipif(bool(IMPOSSIBLE), reason=f"no control group can be made: {IMPOSSIBLE}")
class TestShortMemory:
    """A run in a control group whose memory is enough for two of four hungry pages."""

    SUITE = HUNGRY.format(tests=10, mib=PAGE_MIB)

    def run(
        self, run_suite: RunSuite, group: Group, temporary: Path, *args: str, **more: Any
    ) -> SuiteRun:
        program = group.program(sys.executable, temporary)
        group.limit((BASE_MIB + 2 * (PAGE_MIB + BROWSER_MIB)) * 1024 * 1024)
        return run_suite(
            sources({"test_it.py": self.SUITE}),
            "-n", "4", *args,
            plugins=["xdist"],
            interpreter=(program, "-m", "pytest"),
            env={"TMPDIR": str(temporary)},
            timeout=540,
            **more,
        )  # fmt: skip

    def test_it_fails_without_us(self, run_suite: RunSuite, group: Group, temporary: Path) -> None:
        run = self.run(run_suite, group, temporary, "-x", resilience=False)
        # Ended at the first failure, as xdist tells it.
        assert run.status == 2, run.output
        assert "crash" in run.output or "disconnected" in run.output, run.output

    def test_it_passes_with_fewer_browsers_at_once(
        self, run_suite: RunSuite, group: Group, temporary: Path
    ) -> None:
        run = self.run(run_suite, group, temporary)
        told = run.summary["concurrency"]
        assert run.status == 0, run.output
        assert set(run.counts) <= {"passed", "recovered"}, run.output
        assert told["least"] < 4, told
        assert told["changes"][0]["reason"].startswith("resources ran short"), told
        assert max(active for _at, active, _limit in told["samples"]) >= 3
        assert "browsers: limit 4 -> 3" in run.output
        with duckdb.connect(str(run.folder / ".resilience" / "history.duckdb")) as history:
            query = "select count(*) from events where kind = 'concurrency'"
            assert history.sql(query).fetchall()[0][0] >= len(told["changes"])
        page = (run.folder / ".resilience" / "report.html").read_text("utf-8")
        assert 'id="concurrency"' in page
