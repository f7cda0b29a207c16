"""Circuits shared by processes: nothing is lost, and nobody waits for ever."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.circuit import CircuitBreaker, CircuitState, Outcome, Permit
from pytest_resilience.core.circuit_record import CircuitRecord
from pytest_resilience.core.registry import CircuitRegistry
from pytest_resilience.store import live
from tests.store.live.world import (
    _COUNT,
    _FORK,
    _HOLD_PERMIT,
    _HOLD_TRANSACTION,
    _RACE,
    PROCESSES,
    Start,
    counted,
    ended,
    heard,
)


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
