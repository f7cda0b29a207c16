"""Faults that need no browser: of workers, of the history, of what is stopped when we die."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pytest_resilience.browser import processes
from pytest_resilience.browser.faults import FaultError, FaultKit, InjectedError
from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.core.evidence import ALIVE, LIFELESS, STOPPED
from pytest_resilience.core.injection import Platform
from pytest_resilience.store.history import History
from tests.browser.proofs import proves, proves_each

Eventually = Callable[..., bool]

#: Begins like a worker, and says when it is about to be struck.
WORKER = """
import sys
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.browser.sessions import SessionRegistry
kit = FaultKit(SessionRegistry())
print("ready", flush=True)
print(kit.apply(sys.argv[1]).evidence()["seconds"] > 1.5, flush=True)
"""
#: The same, with a driver that has a process group and a profile of its own.
EMPLOYER = """
import subprocess, sys
from pytest_resilience.browser import processes
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
driver = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
session = DriverSession(
    session_id="", browser="chrome", browser_version="", endpoint="", remote=False,
    wire=Wire(""), requested=None, capabilities={}, leads_group=True,
    driver_process=processes.identify(driver.pid), profile_dir=sys.argv[2],
    profile_is_ours=True, reference=lambda: driver,
)
registry = SessionRegistry()
registry._sessions.append(session)
print(driver.pid, flush=True)
FaultKit(registry).apply(sys.argv[1])
"""
#: Stops a process as if it were the driver of a session, and then ends without a good-bye.
STOPPER = """
import os, sys
from pytest_resilience.browser import processes
from pytest_resilience.browser.faults import FaultKit
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
session = DriverSession(
    session_id="", browser="chrome", browser_version="", endpoint="", remote=False,
    wire=Wire(""), requested=None, capabilities={},
    driver_process=processes.identify(int(sys.argv[1])),
)
kit = FaultKit(SessionRegistry(), session)
states = kit.apply("freeze_driver").evidence()["states"]
print(*states.values(), flush=True)
sys.stdin.read()
getattr(os, sys.argv[2])(*map(int, sys.argv[3:]))
"""


@contextlib.contextmanager
def python(code: str, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Yield an interpreter that runs `code`; it is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[FaultKit]:
    """A kit for no browser, with a history."""
    with FaultKit(SessionRegistry(), history=tmp_path / "history.duckdb") as kit:
        yield kit


class TestWorkers:
    """What a worker does to itself."""

    @proves(Platform.NO_BROWSER, "pause_worker")
    def test_a_paused_worker_is_stopped_and_goes_on(self, eventually: Eventually) -> None:
        with python(WORKER, "pause_worker", PYTEST_XDIST_WORKER="gw0") as child:
            assert line(child) == "ready"
            process = psutil.Process(child.pid)
            assert eventually(lambda: process.status() == psutil.STATUS_STOPPED)
            assert line(child) == "True"
            assert child.wait(30) == 0

    @proves_each(Platform.NO_BROWSER, "exit_worker", "kill_worker")
    def test_a_worker_ends(self, name: str) -> None:
        with python(WORKER, name, PYTEST_XDIST_WORKER="gw0") as child:
            assert line(child) == "ready"
            assert child.wait(30) == {"exit_worker": 70, "kill_worker": -signal.SIGKILL}[name]

    @pytest.mark.parametrize("name", ["exit_worker", "kill_worker"])
    def test_its_browsers_and_their_profiles_are_gone_soon_after_it(
        self, name: str, tmp_path: Path, eventually: Eventually
    ) -> None:
        profile = tmp_path / "profile"
        profile.mkdir()
        with python(EMPLOYER, name, str(profile), PYTEST_XDIST_WORKER="gw0") as child:
            driver = int(line(child))
            assert eventually(lambda: not psutil.pid_exists(driver))
            assert eventually(lambda: not profile.exists())

    @pytest.mark.parametrize("name", ["pause_worker", "exit_worker", "kill_worker"])
    def test_what_is_no_worker_is_not_struck(
        self, kit: FaultKit, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
        with pytest.raises(FaultError, match=f"{name} needs tests that run in workers"):
            kit.apply(name)


class TestStopped:
    """What is stopped goes on, whatever becomes of who stopped it."""

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(("_exit", "0"), id="os._exit"),
            pytest.param(("abort",), id="abort"),
            pytest.param(("getpid",), id="end"),
        ],
    )
    def test_it_goes_on_when_that_process_ends(
        self, end: tuple[str, ...], eventually: Eventually
    ) -> None:
        with subprocess.Popen(["sleep", "60"]) as victim:
            stopped = processes.identify(victim.pid)
            assert stopped is not None
            try:
                with python(STOPPER, str(victim.pid), *end) as child:
                    assert line(child) == STOPPED
                    assert processes.state(stopped) == STOPPED
                    assert child.stdin is not None
                    child.stdin.close()
                    child.wait(30)
                    assert eventually(lambda: processes.state(stopped) == ALIVE)
            finally:
                victim.kill()

    def test_it_goes_on_when_that_process_is_killed(self, eventually: Eventually) -> None:
        with subprocess.Popen(["sleep", "60"]) as victim:
            stopped = processes.identify(victim.pid)
            assert stopped is not None
            try:
                with python(STOPPER, str(victim.pid), "_exit", "0") as child:
                    assert line(child) == STOPPED
                    child.kill()
                    assert eventually(lambda: processes.state(stopped) == ALIVE)
            finally:
                victim.kill()
        assert processes.state(stopped) in LIFELESS


class TestHistory:
    """The file of the history."""

    @proves(Platform.NO_BROWSER, "lock_history")
    def test_its_lock_is_held_by_another_process_until_it_is_undone(
        self, kit: FaultKit, tmp_path: Path
    ) -> None:
        applied = kit.apply("lock_history")
        with (tmp_path / "history.duckdb.lock").open("r+") as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            applied.undo()
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_it_is_the_lock_that_the_history_takes(self, kit: FaultKit, tmp_path: Path) -> None:
        from pytest_resilience.exceptions import StoreError

        history = History(tmp_path / "history.duckdb")
        kit.apply("lock_history")
        with pytest.raises(StoreError), history.locked(0.1):
            pass
        kit.undo_all()
        with history.locked(5.0):
            pass

    @proves(Platform.NO_BROWSER, "corrupt_history")
    def test_the_true_file_is_put_back(self, kit: FaultKit, tmp_path: Path) -> None:
        path = tmp_path / "history.duckdb"
        path.write_bytes(b"true")
        path.with_name("history.duckdb.wal").write_bytes(b"true, too")
        applied = kit.apply("corrupt_history")
        assert applied.evidence()["unreadable"] is True
        assert not path.with_name("history.duckdb.wal").exists()
        applied.undo()
        assert applied.evidence()["left"] == []
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
            "history.duckdb": b"true", "history.duckdb.wal": b"true, too",
        }  # fmt: skip

    def test_where_there_was_none_there_is_none_again(self, kit: FaultKit, tmp_path: Path) -> None:
        kit.apply("corrupt_history").undo()
        assert list(tmp_path.iterdir()) == []

    def test_what_was_written_meanwhile_is_kept(self, kit: FaultKit, tmp_path: Path) -> None:
        path = tmp_path / "history.duckdb"
        path.write_bytes(b"true")
        applied = kit.apply("corrupt_history")
        path.write_bytes(b"new")
        applied.undo()
        assert path.read_bytes() == b"true"
        assert (tmp_path / "history.duckdb.meanwhile").read_bytes() == b"new"

    def test_the_true_file_is_back_when_the_process_was_killed(
        self, tmp_path: Path, eventually: Eventually
    ) -> None:
        path = tmp_path / "history.duckdb"
        path.write_bytes(b"true")
        code = (
            "import pathlib, sys\n"
            "from pytest_resilience.browser.faults import FaultKit\n"
            "from pytest_resilience.browser.sessions import SessionRegistry\n"
            "FaultKit(SessionRegistry(), history=pathlib.Path(sys.argv[1])).apply("
            "'corrupt_history')\n"
            "print('done', flush=True); sys.stdin.read()\n"
        )
        with python(code, str(path)) as child:
            assert line(child) == "done"
            assert path.read_bytes() != b"true"
            child.kill()
            assert eventually(lambda: path.exists() and path.read_bytes() == b"true")

    def test_two_runs_do_not_take_each_others_file_for_the_true_one(
        self, kit: FaultKit, tmp_path: Path
    ) -> None:
        (tmp_path / "history.duckdb").write_bytes(b"true")
        kit.apply("corrupt_history")
        with pytest.raises(FaultError, match="history of another run"):
            kit.apply("corrupt_history")
        kit.undo_all()
        assert (tmp_path / "history.duckdb").read_bytes() == b"true"

    @pytest.mark.parametrize("name", ["lock_history", "corrupt_history"])
    def test_without_a_history_there_is_nothing_to_strike(self, name: str) -> None:
        with pytest.raises(FaultError, match="this run keeps none"):
            FaultKit(SessionRegistry()).apply(name)


class TestOthers:
    """What only others can do, and what is merely raised."""

    @proves(Platform.NO_BROWSER, "fail_application_database")
    def test_the_application_is_struck_by_who_knows_how_and_mended(self) -> None:
        events: list[str] = []

        def arrange() -> Callable[[], object]:
            events.append("broken")
            return lambda: events.append("mended")

        with FaultKit(SessionRegistry(), arrange=arrange) as kit:
            applied = kit.apply("fail_application_database")
            assert events == ["broken"]
        assert applied.undone
        assert events == ["broken", "mended"]

    def test_nobody_else_can_make_its_database_fail(self, kit: FaultKit) -> None:
        with pytest.raises(FaultError, match="pytest_resilience_faults"):
            kit.apply("fail_application_database")

    @proves_each(Platform.NO_BROWSER, "raise_in_observer", "raise_error", "raise_in_hook")
    def test_an_internal_error_is_raised_where_it_is_asked_for(
        self, kit: FaultKit, name: str
    ) -> None:
        with pytest.raises(InjectedError, match=f"{name}: raised on purpose"):
            kit.apply(name)
