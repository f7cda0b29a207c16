"""The spool alone: what is on disk after which calls, and that no call raises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.store import spool as spool_module
from pytest_resilience.store.spool import Spool, lock_of, orphans, prepare, writer_lives

MakeSpool = Callable[..., Spool]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


class RaisesOnStr:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class RaisesUnprintable:
    def __str__(self) -> str:
        class UnprintableError(Exception):
            def __str__(self) -> str:
                raise ValueError("nor for the error")

        raise UnprintableError


def test_importing_the_store_loads_neither_duckdb_nor_filelock(run: Callable[..., str]) -> None:
    code = (
        "import sys, pytest_resilience.store.spool, pytest_resilience.store.history\n"
        "print([m for m in ('duckdb', 'filelock') if m in sys.modules])"
    )
    assert run("-c", code) == "[]"


def test_nothing_is_on_disk_before_the_first_record(folder: Path, new_spool: MakeSpool) -> None:
    spool = new_spool()
    assert list((folder / "spool").iterdir()) == []
    spool.emit("attempt", {"n": 1})
    assert sorted(p.suffix for p in (folder / "spool").iterdir()) == [".jsonl", ".lock"]


def test_a_record_carries_who_wrote_it_and_when(new_spool: MakeSpool) -> None:
    spool = new_spool("session", "gw1")
    spool.emit("attempt", {"n": 1})
    spool.emit_many([("error", {"n": 2}), ("recovery", {"n": 3})])
    spool.emit_many([])
    first, second, third = records(spool.path)
    assert first.pop("ts") < second["ts"] < third["ts"]
    assert first == {
        "v": 1,
        "spool": spool.path.stem,
        "seq": 1,
        "sid": "session",
        "worker": "gw1",
        "kind": "attempt",
        "data": {"n": 1},
    }
    assert [(r["seq"], r["kind"], r["data"]) for r in (second, third)] == [
        (2, "error", {"n": 2}),
        (3, "recovery", {"n": 3}),
    ]


def test_each_record_is_on_disk_in_one_write(
    new_spool: MakeSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    write = os.write

    def spy(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(spool_module.os, "write", spy)
    spool = new_spool()
    spool.emit("a", {"text": "line\nline"})
    spool.emit_many([("b", {}), ("c", {})])
    assert [data.count(b"\n") for data in written] == [1, 2]
    assert b"".join(written) == spool.path.read_bytes()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(float("nan"), None, id="nan"),
        pytest.param(float("-inf"), None, id="infinity"),
        pytest.param({(1, 2): "x"}, {"(1, 2)": "x"}, id="tuple-key"),
        pytest.param({"s": {1}, "t": (1, 2)}, {"s": [1], "t": [1, 2]}, id="set-and-tuple"),
        pytest.param(Path("a/b"), "a/b", id="path"),
        pytest.param(b"x", "b'x'", id="bytes"),
        pytest.param("a\ud800b", "a?b", id="lone-surrogate"),
        pytest.param("zero\0byte", "zero\0byte", id="nul"),
        pytest.param(RaisesOnStr(), "<RaisesOnStr without text>", id="str-raises"),
        pytest.param(RaisesUnprintable(), "<RaisesUnprintable without text>", id="str-raises-odd"),
        pytest.param(ValueError("v"), "ValueError: v", id="exception"),
        pytest.param(10**5000, "<int without text>", id="int-too-long-for-text"),
    ],
)
def test_a_value_json_cannot_hold_becomes_plain(
    new_spool: MakeSpool, value: object, kept: object
) -> None:
    spool = new_spool()
    spool.emit("odd", {"value": value, "beside": 1})
    assert (spool.lost, spool.error) == (0, "")
    assert records(spool.path)[0]["data"] == {"value": kept, "beside": 1}


def test_a_payload_without_end_is_cut_and_kept(new_spool: MakeSpool) -> None:
    cycle: dict[str, object] = {"beside": 1}
    cycle["self"] = cycle
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    spool = new_spool()
    spool.emit("odd", cycle)
    spool.emit("odd", {"deep": deep, "beside": 2})
    assert [r["data"]["beside"] for r in records(spool.path)] == [1, 2]
    assert spool.lost == 0


@pytest.mark.parametrize("breakage", ["payload", "iterator", "clock"])
def test_emit_does_not_raise_and_counts_the_loss(folder: Path, breakage: str) -> None:
    def broken_clock() -> int:
        raise OSError("no time")

    def broken_events() -> Any:
        yield "a", {}
        raise LookupError("no more")

    clock = broken_clock if breakage == "clock" else lambda: 1
    spool = Spool(folder / "spool", session_id="s", worker="main", now_us=clock)
    if breakage == "iterator":
        spool.emit_many(broken_events())
    elif breakage == "payload":
        spool.emit("a", {"x": "x" * (spool_module.MAX_RECORD_BYTES + 1)})
    else:
        spool.emit("a", {})
    expected = {"payload": "is the limit", "iterator": "no more", "clock": "no time"}
    assert spool.lost == 1
    assert expected[breakage] in spool.error


def test_a_batch_over_the_limit_of_a_record_is_kept(new_spool: MakeSpool) -> None:
    text = "x" * (spool_module.MAX_RECORD_BYTES // 3)
    spool = new_spool()
    spool.emit_many([("a", {"x": text}) for _ in range(4)])
    assert (spool.lost, len(records(spool.path))) == (0, 4)


def test_the_first_reason_of_a_loss_is_kept(new_spool: MakeSpool) -> None:
    spool = new_spool()
    spool.emit("a", {})
    spool.close()
    spool.close()
    spool.emit("b", {})
    spool.emit_many([("c", {}), ("d", {})])
    assert spool.lost == 3
    assert "the spool is closed" in spool.error
    assert len(records(spool.path)) == 1


def test_a_spool_folder_that_cannot_be_made_loses_records_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool", session_id="s", worker="w", now_us=lambda: 1)
    spool.emit("a", {})
    spool.emit("a", {})
    spool.close()
    assert spool.lost == 2
    assert "NotADirectoryError" in spool.error


_FULL_DISK = """
import resource, sys
from pathlib import Path
from pytest_resilience.store.spool import Spool
spool = Spool(Path(sys.argv[1]), session_id="s", worker="main", now_us=lambda: 1)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
spool.emit("a", {"n": 1, "text": "x" * 100})
resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
spool.emit("a", {"n": 2, "text": "x" * 200})
spool.emit("a", {"n": 3, "text": "x" * 200})
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
spool.emit("a", {"n": 4})
spool.emit("a", {"n": 5})
spool.close()
print(spool.lost, spool.error, sep="|")
"""


def test_a_disk_that_fills_up_loses_only_what_did_not_fit(
    folder: Path, run: Callable[..., str]
) -> None:
    """The record after a torn one starts on a new line, so both sides stay readable."""
    lost, reason = run("-c", _FULL_DISK, folder / "spool").split("|")
    assert lost == "2"
    assert reason.startswith("the disk took ")
    [path] = orphans(folder / "spool")
    lines = path.read_text().split("\n")
    whole = [json.loads(line)["data"]["n"] for line in lines if line.endswith("}")]
    assert whole == [1, 4, 5]


def test_a_spool_is_an_orphan_once_it_is_closed(folder: Path, new_spool: MakeSpool) -> None:
    spools = folder / "spool"
    first, second = new_spool(), new_spool()
    first.emit("a", {})
    second.emit("a", {})
    assert orphans(spools) == []
    first.close()
    assert orphans(spools) == [first.path]
    second.close()
    assert orphans(spools) == sorted([first.path, second.path])
    assert orphans(folder / "nowhere") == []


def test_a_spool_without_a_lock_file_is_an_orphan(folder: Path, new_spool: MakeSpool) -> None:
    spool = new_spool()
    spool.emit("a", {})
    spool.close()
    lock_of(spool.path).unlink()
    assert orphans(folder / "spool") == [spool.path]


_WRITER = """
import sys, time
from pathlib import Path
from pytest_resilience.store.spool import Spool
spool = Spool(Path(sys.argv[1]), session_id="s", worker="main", now_us=lambda: 1)
spool.emit("a", {"n": 1})
print(spool.path, flush=True)
time.sleep(60)
"""


def test_a_spool_is_an_orphan_once_its_writer_is_killed(
    folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    with start("-c", _WRITER, folder / "spool") as writer:
        assert writer.stdout is not None
        path = Path(writer.stdout.readline().strip())
        alive = writer_lives(path)
        writer.kill()
    assert (alive, orphans(folder / "spool")) == (True, [path])
    assert len(records(path)) == 1


def run_in_fork(action: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_neither_writes_nor_unlocks(new_spool: MakeSpool) -> None:
    spool, unused = new_spool(), new_spool()
    spool.emit("a", {"by": "parent"})

    def child() -> None:
        for each in (spool, unused):
            each.emit("a", {"by": "child"})
            each.emit_many([("a", {"by": "child"})])
            each.close()

    run_in_fork(child)
    assert writer_lives(spool.path)
    spool.emit("a", {"by": "parent again"})
    assert [r["data"]["by"] for r in records(spool.path)] == ["parent", "parent again"]
    assert not unused.path.exists()
    assert spool.lost == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_closing_frees_the_spool_while_a_forked_child_lives(new_spool: MakeSpool) -> None:
    spool = new_spool()
    spool.emit("a", {})
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        spool.close()
        assert not writer_lives(spool.path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_threads_write_whole_lines_with_their_own_numbers(new_spool: MakeSpool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    spool = new_spool()
    with ThreadPoolExecutor(8) as pool:
        for n in range(400):
            pool.submit(spool.emit, "a", {"n": n, "text": "x" * 500})
    written = records(spool.path)
    assert [r["seq"] for r in written] == list(range(1, 401))
    assert {r["data"]["n"] for r in written} == set(range(400))


def test_prepare_hides_only_a_folder_it_made(tmp_path: Path) -> None:
    made, found = tmp_path / "made", tmp_path / "found"
    found.mkdir()
    assert prepare(made) == made / "spool"
    assert prepare(made) == made / "spool"
    prepare(found)
    assert (made / ".gitignore").read_text() == "*\n"
    assert not (found / ".gitignore").exists()
    assert (found / "spool").is_dir()
