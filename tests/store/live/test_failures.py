"""Circuits shared by processes: whatever becomes of the file, nothing raises."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.circuit import CircuitState
from pytest_resilience.core.circuit_record import CircuitRecord
from pytest_resilience.store.live import SharedCells
from tests.store.live.world import _FULL, Shared, Start, Step, counted, ended


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
