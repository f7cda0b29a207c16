"""Circuits shared by processes: nothing is lost, nobody waits for ever, nothing raises."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.circuit import (
    CircuitBreaker,
    CircuitConfig,
    CircuitState,
    Outcome,
    Permit,
)
from pytest_resilience.core.circuit_record import CircuitRecord
from pytest_resilience.core.registry import CircuitRegistry
from pytest_resilience.store import live
from pytest_resilience.store.live import SharedCells

Start = Callable[..., "subprocess.Popen[str]"]
Step = tuple[CircuitRecord, int]

PROCESSES = 8

#: What every process of these tests begins with: shared cells, and a circuit in one of them.
_BEGIN = """
import json, os, random, signal, sys, time
from pathlib import Path
from pytest_resilience.core.circuit import CircuitBreaker, CircuitConfig, Outcome
from pytest_resilience.store.live import SharedCells

cells = SharedCells(
    Path(sys.argv[1]), run="r", on_degraded=lambda text: sys.exit(text), patience_s=60.0
)
cell = cells.cell("endpoint", "grid")

def circuit(**parameters):
    return CircuitBreaker(
        CircuitConfig(**parameters), name="grid", kind="endpoint", monotonic=time.monotonic,
        chance=random.Random(0), cell=cell,
    )

def count(record):
    return record._replace(ignored=record.ignored + 1), record.ignored

print("ready", flush=True)
sys.stdin.readline()
"""
_COUNT = _BEGIN + "for _ in range(int(sys.argv[2])): cell.update(count)"
_RACE = (
    _BEGIN
    + """
breaker = circuit(failure_threshold=3, half_open_after=0.001, recovery_timeout=0.002, lease_s=0.05)
moves, counts = [], {"permits": 0, "counted": 0, "stale": 0}
breaker.add_listener(lambda move: moves.append(move.to_dict()))
chance = random.Random(os.getpid())
for _ in range(int(sys.argv[2])):
    permit = breaker.try_acquire()
    if permit is None:
        time.sleep(0.0005)
        continue
    counts["permits"] += 1
    outcome = Outcome.FAILURE if chance.random() < 0.6 else Outcome.SUCCESS
    counts["counted" if breaker.report(permit, outcome) else "stale"] += 1
print(json.dumps({"moves": moves, "counts": counts}))
"""
)
_HOLD_PERMIT = (
    _BEGIN
    + """
lease_s = float(sys.argv[2])
breaker = circuit(failure_threshold=1, half_open_after=0, recovery_timeout=60, lease_s=lease_s)
breaker.record_failure("the grid is gone")
assert breaker.probed(True)
assert breaker.acquire().number == 1
print("held", flush=True)
time.sleep(60)
"""
)
_HOLD_TRANSACTION = (
    _BEGIN
    + """
def stay(record):
    print("held", flush=True)
    time.sleep(60)

cell.update(stay)
"""
)
_FORK = (
    _BEGIN
    + """
for _ in range(50): cell.update(count)
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for _ in range(50): cell.update(count)
        os._exit(0 if cell.read().ignored >= 50 else 1)
    children.append(child)
for _ in range(50): cell.update(count)
print([os.waitpid(child, 0)[1] for child in children], cell.read().ignored)
"""
)
_FULL = """
import resource, signal, sys
from pathlib import Path
from pytest_resilience.store.live import SharedCells

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
warnings = []
cells = SharedCells(Path(sys.argv[1]), run="r", on_degraded=warnings.append)
names = [cells.cell("browser", str(number)) for number in range(200)]
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
for cell in names * 2:
    cell.update(lambda record: (record._replace(ignored=record.ignored + 1), None))
print(len(warnings), {cell.read().ignored for cell in names})
"""


def counted(record: CircuitRecord) -> Step:
    """Count one more on a record, and answer how many there were."""
    return record._replace(ignored=record.ignored + 1), record.ignored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the shared circuits of a test are kept; nothing is there yet."""
    return tmp_path / "run" / "live.sqlite"


class Shared:
    """Shared cells that remember what they warned of, and lose patience soon."""

    def __init__(self, path: Path, run: str = "r", patience_s: float = 0.2) -> None:
        self.warnings: list[str] = []
        self.cells = SharedCells(
            path, run=run, on_degraded=self.warnings.append, patience_s=patience_s
        )
        self.cell = self.cells.cell("endpoint", "grid")

    def circuit(self, *, ahead_s: float = 0.0, **parameters: Any) -> CircuitBreaker:
        """Return a circuit in the one cell, so many seconds ahead of the machine's clock."""
        return CircuitBreaker(
            CircuitConfig(**parameters),
            name="grid",
            kind="endpoint",
            monotonic=lambda: time.monotonic() + ahead_s,
            chance=random.Random(0),
            cell=self.cell,
        )


@pytest.fixture
def share(path: Path) -> Iterator[Callable[..., Shared]]:
    """Make `Shared` on `path`, closed after the test."""
    made: list[Shared] = []

    def share(**parameters: Any) -> Shared:
        made.append(Shared(path, **parameters))
        return made[-1]

    yield share
    for shared in made:
        shared.cells.close()


@pytest.fixture
def processes(start: Start, path: Path) -> Iterator[Callable[..., list[subprocess.Popen[str]]]]:
    """Start processes that wait, all ready, for a line; whatever is left of them is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(code: str, *arguments: object, number: int = 1) -> list[subprocess.Popen[str]]:
        begun = [start("-c", code, path, *arguments) for _ in range(number)]
        running.extend(begun)
        for process in begun:
            assert heard(process) == "ready"
        for process in begun:
            said(process)
        return begun

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str]) -> str:
    """Return the next line a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def said(process: subprocess.Popen[str]) -> None:
    """Let a process that waits for a line go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the good end of a process and return what it said last."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.strip()


class TestSharing:
    """What one process changes, all know, and nothing of it is lost."""

    def test_no_change_of_eight_processes_is_lost(self, processes: Any, share: Any) -> None:
        for process in processes(_COUNT, 150, number=PROCESSES):
            ended(process)
        assert share().cell.read().ignored == PROCESSES * 150

    def test_no_change_of_eight_threads_is_lost(self, share: Any) -> None:
        shared = share(patience_s=60.0)
        threads = [
            threading.Thread(target=lambda: [shared.cell.update(counted) for _ in range(100)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (shared.cell.read().ignored, shared.warnings) == (800, [])

    def test_no_change_of_forked_children_is_lost(self, processes: Any) -> None:
        """Each child opens the file anew, also while its parent goes on."""
        [process] = processes(_FORK)
        assert ended(process) == "[0, 0, 0] 250"

    def test_what_another_has_changed_is_read_at_once(self, share: Any) -> None:
        here, there = share(), share()
        for number in range(5):
            assert here.cell.read().ignored == there.cell.read().ignored == 2 * number
            assert here.cell.update(counted) == 2 * number
            assert there.cell.update(counted) == 2 * number + 1

    def test_circuits_of_other_names_and_kinds_are_others(self, share: Any) -> None:
        shared = share()
        shared.cell.update(counted)
        for kind, name in (("endpoint", "other"), ("browser", "grid")):
            assert shared.cells.cell(kind, name).read().ignored == 0
        assert shared.cells.cell("endpoint", "grid").read().ignored == 1

    def test_a_cell_holds_what_it_was_given_until_it_is_changed(self, share: Any) -> None:
        shared = share()
        cell = shared.cells.cell("browser", "chrome", CircuitRecord(ignored=7))
        assert cell.read().ignored == 7
        assert cell.update(counted) == 7
        assert share().cells.cell("browser", "chrome").read().ignored == 8

    def test_a_record_comes_back_whole(self, share: Any) -> None:
        circuit = share().circuit(failure_threshold=1, half_open_after=0)
        circuit.record_failure("it is \U0001f9e8 'gone'\n")
        circuit.probed(True)
        circuit.acquire()
        record = share().cell.read()
        assert record.state is CircuitState.HALF_OPEN
        assert CircuitRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
        assert record.leases

    def test_a_registry_takes_the_cells(self, share: Any) -> None:
        """`SharedCells.cell` is what `CircuitRegistry` calls `make_cell`."""

        def registry() -> CircuitRegistry:
            return CircuitRegistry(
                monotonic=time.monotonic, chance=random.Random(0), make_cell=share().cells.cell
            )

        registry().get("endpoint", "grid").trip("no node")
        assert registry().get("endpoint", "grid").get_state() is CircuitState.OPEN

    @pytest.mark.parametrize("what", ["run", "boot"])
    def test_what_another_run_or_boot_left_behind_is_not_believed(
        self, share: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        share().cell.update(counted)
        if what == "boot":
            boot_id = tmp_path / "boot_id"
            boot_id.write_text("another\n")
            monkeypatch.setattr(live, "_BOOT_ID", boot_id)
        assert share(run="other" if what == "run" else "r").cell.read().ignored == 0
        monkeypatch.undo()
        assert share().cell.read().ignored == 1

    def test_a_machine_that_does_not_name_its_boot_will_do(
        self, share: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "_BOOT_ID", tmp_path / "none")
        share().cell.update(counted)
        assert share().cell.read().ignored == 1

    def test_removing_leaves_nothing_and_cells_go_on_quietly(self, share: Any, path: Path) -> None:
        shared = share()
        share().cell.update(counted)
        shared.cells.remove()
        assert list(path.parent.iterdir()) == []
        assert shared.cell.update(counted) == 1
        assert (shared.cell.read().ignored, shared.warnings) == (2, [])
        assert list(path.parent.iterdir()) == []

    def test_sqlite_is_loaded_when_a_cell_is_used(self, start: Start, path: Path) -> None:
        code = (
            "import sys; from pathlib import Path;"
            " from pytest_resilience.store.live import SharedCells;"
            " cell = SharedCells(Path(sys.argv[1]), run='r').cell('browser', 'x');"
            " loaded = 'sqlite3' in sys.modules;"
            " cell.read(); print(loaded, 'sqlite3' in sys.modules)"
        )
        with start("-c", code, path) as process:
            assert ended(process) == "False True"


class TestRaces:
    """Eight processes drive one circuit through all its states."""

    @pytest.fixture
    def told(self, processes: Any) -> list[dict[str, Any]]:
        """What each of them did."""
        return [json.loads(ended(p)) for p in processes(_RACE, 150, number=PROCESSES)]

    @pytest.fixture
    def moves(self, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All their transitions, in the order of generations."""
        every = [move for process in told for move in process["moves"]]
        return sorted(every, key=lambda move: move["generation"])

    def test_each_transition_is_told_once_and_by_one(
        self, moves: list[dict[str, Any]], share: Any
    ) -> None:
        generations = [move["generation"] for move in moves]
        assert generations == list(range(1, len(moves) + 1))
        assert share().cell.read().generation == len(moves)
        assert len(moves) >= 8
        states = ["closed", *(move["to_state"] for move in moves)]
        assert [move["from_state"] for move in moves] == states[:-1]
        assert {"open", "half-open"} <= set(states)
        assert {(move["kind"], move["circuit"]) for move in moves} == {("endpoint", "grid")}

    def test_transitions_are_in_order_of_time(self, moves: list[dict[str, Any]]) -> None:
        """The clock is the same for all processes."""
        moments = [move["at"] for move in moves]
        assert moments == sorted(moments)

    def test_every_permit_is_counted_or_stale(self, told: list[dict[str, Any]], share: Any) -> None:
        counts = [process["counts"] for process in told]
        permits, counted, stale = (
            sum(count[name] for count in counts) for name in ("permits", "counted", "stale")
        )
        record = share().cell.read()
        assert permits == counted + stale
        assert record.stale == stale
        # A lease that ran out was counted as a failure before its report came, as stale.
        assert counted <= record.successes + record.failures <= counted + stale
        assert counted > 0


class TestDeath:
    """A process may be killed at any moment."""

    def test_the_permit_of_a_killed_process_is_free_after_its_lease(
        self, processes: Any, share: Any
    ) -> None:
        lease_s = 600.0
        [process] = processes(_HOLD_PERMIT, lease_s)
        assert heard(process) == "held"
        limits = {"failure_threshold": 1, "half_open_after": 0, "recovery_timeout": 60}
        circuit = share().circuit(**limits, lease_s=lease_s)
        assert circuit.get_state() is CircuitState.HALF_OPEN
        assert circuit.try_acquire() is None
        [lease] = share().cell.read().leases
        process.send_signal(signal.SIGKILL)
        process.wait()
        circuit = share().circuit(**limits, lease_s=lease_s, ahead_s=lease_s)
        permit = until_permitted(circuit)
        assert permit.number == 2
        assert permit.granted_at >= lease.granted_at + lease_s
        assert circuit.report(permit, Outcome.SUCCESS)

    def test_a_process_killed_in_the_middle_of_a_change_holds_up_nobody(
        self, processes: Any, share: Any
    ) -> None:
        shared = share(patience_s=60.0)
        shared.cell.update(counted)
        [process] = processes(_HOLD_TRANSACTION)
        assert heard(process) == "held"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert shared.cell.update(counted) == 1
        assert (share().cell.read().ignored, shared.warnings) == (2, [])

    def test_a_process_stopped_in_the_middle_of_a_change_ends_the_sharing(
        self, processes: Any, share: Any
    ) -> None:
        """Reading goes on; the first change that waits too long makes circuits local."""
        shared = share()
        shared.cell.update(counted)
        [process] = processes(_HOLD_TRANSACTION)
        assert heard(process) == "held"
        process.send_signal(signal.SIGSTOP)
        assert (shared.cell.read().ignored, shared.warnings) == (1, [])
        assert [shared.cell.update(counted) for _ in range(3)] == [1, 2, 3]
        [warning] = shared.warnings
        assert "locked" in warning


def until_permitted(circuit: CircuitBreaker, timeout_s: float = 60.0) -> Permit:
    """Return the first permit that is had while health probes succeed."""
    begun = time.monotonic()
    while True:
        circuit.probed(True)
        permit = circuit.try_acquire()
        if permit is not None:
            return permit
        assert time.monotonic() - begun < timeout_s, "no permit was ever had"
        time.sleep(0.01)


def change(path: Path, statement: str) -> None:
    """Change the file as another program might."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


class TestFailure:
    """Whatever becomes of the file, circuits go on in this process, with one warning."""

    def damage(self, shared: Shared, path: Path, how: str) -> None:
        """Spoil the file behind the back of `shared`."""
        if how == "removed":
            path.unlink()
        elif how == "replaced":
            other = path.with_name("other")
            other.touch()
            other.replace(path)
        elif how == "folder-removed":
            for file in path.parent.iterdir():
                file.unlink()
            path.parent.rmdir()
        elif how == "row-damaged":
            change(path, 'UPDATE cells SET record = \'{"state": "ajar"\'')
        elif how == "row-of-tomorrow":
            change(path, "UPDATE cells SET record = '{\"version\": 99}'")
        elif how == "table-dropped":
            change(path, "DROP TABLE cells")

    @pytest.mark.parametrize(
        "how",
        ["removed", "replaced", "folder-removed", "row-damaged", "row-of-tomorrow",
         "table-dropped"],
    )  # fmt: skip
    def test_a_file_that_was_spoiled_ends_the_sharing(
        self, share: Any, path: Path, how: str
    ) -> None:
        shared = share()
        assert [shared.cell.update(counted) for _ in range(2)] == [0, 1]
        self.damage(shared, path, how)
        assert [shared.cell.update(counted) for _ in range(3)] == [2, 3, 4]
        assert shared.cell.read().ignored == 5
        [warning] = shared.warnings
        assert str(path) in warning
        assert "no longer shared" in warning
        assert shared.cells.failure == warning

    @pytest.mark.parametrize("what", ["text", "folder", "parent-is-a-file"])
    def test_a_file_that_cannot_be_used_from_the_start_is_no_obstacle(
        self, share: Any, path: Path, what: str
    ) -> None:
        if what == "parent-is-a-file":
            path.parent.touch()
        else:
            path.parent.mkdir()
            path.mkdir() if what == "folder" else path.write_text("somebody's notes " * 100)
        shared = share()
        circuit = shared.circuit(failure_threshold=2)
        circuit.record_failure()
        circuit.record_failure()
        assert circuit.get_state() is CircuitState.OPEN
        assert len(shared.warnings) == 1
        if what == "text":
            assert path.read_text() == "somebody's notes " * 100

    def test_a_full_disk_ends_the_sharing_and_loses_no_count(
        self, start: Start, path: Path
    ) -> None:
        with start("-c", _FULL, path) as process:
            assert ended(process) == "1 {2}"

    def test_a_warning_that_fails_is_no_failure(self, path: Path) -> None:
        path.parent.touch()

        def broken(text: str) -> None:
            raise RuntimeError(text)

        cell = SharedCells(path, run="r", on_degraded=broken).cell("endpoint", "grid")
        assert [cell.update(counted) for _ in range(2)] == [0, 1]

    def test_the_error_of_a_call_survives_the_loss_of_the_file(
        self, share: Any, path: Path
    ) -> None:
        """The file goes while the protected call runs; its own error is what the caller gets."""
        shared = share()
        circuit = shared.circuit()
        assert circuit.execute(lambda: "fine") == "fine"

        def call() -> None:
            path.unlink()
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            circuit.execute(call)
        assert len(shared.warnings) == 1
        assert circuit.get_metrics()["total_failures"] == 1

    def test_where_it_stood_is_where_it_goes_on(self, share: Any, path: Path) -> None:
        """An open circuit does not close because the file is gone."""
        shared = share()
        other = share().circuit()
        other.trip("no node")
        circuit = shared.circuit()
        assert circuit.get_state() is CircuitState.OPEN
        path.unlink()
        assert circuit.try_acquire() is None
        assert circuit.get_state() is CircuitState.OPEN
        assert len(shared.warnings) == 1


class TestChanges:
    """A change that fails changes nothing."""

    @pytest.mark.parametrize("error", [ValueError, sqlite3.OperationalError, KeyboardInterrupt])
    def test_what_a_change_raises_takes_it_back_and_goes_on(
        self, share: Any, error: type[BaseException]
    ) -> None:
        shared = share()
        shared.cell.update(counted)

        def broken(record: CircuitRecord) -> Step:
            raise error("mine")

        with pytest.raises(error, match="mine"):
            shared.cell.update(broken)
        assert share().cell.update(counted) == 1
        assert shared.cell.read().ignored == 2
        assert shared.warnings == []

    def test_a_change_that_changes_nothing_writes_nothing(self, share: Any, path: Path) -> None:
        shared = share()
        shared.cell.update(counted)
        with contextlib.closing(sqlite3.connect(path)) as onlooker:
            writes = [onlooker.execute("PRAGMA data_version").fetchone()]
            assert shared.cell.update(lambda record: (record, "as it was")) == "as it was"
            writes.append(onlooker.execute("PRAGMA data_version").fetchone())
            shared.cell.update(counted)
            writes.append(onlooker.execute("PRAGMA data_version").fetchone())
        assert writes[0] == writes[1] != writes[2]
