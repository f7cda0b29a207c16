"""Folders, files and disks that cannot be written: the spool keeps the records."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_resilience.store.history import History
from pytest_resilience.store.spool import Spool, orphans, prepare

from .samples import merged, refused

Fill = Callable[..., Path]
Run = Callable[..., str]
Start = Callable[..., "subprocess.Popen[str]"]

_AS_NOBODY = """
import os, sys
from pathlib import Path
import duckdb, filelock
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database, ingest, learning
from pytest_resilience.store.history import History
duckdb.execute("SELECT ?", ["x"]).fetchall()  # loads the rest while it can still be read
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
history = History(Path(sys.argv[1]))
for action in (lambda: history.merge([Path(sys.argv[2])]).records, history.session_ids):
    try:
        print(action())
    except StoreError as error:
        print(error)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A database folder that a process without rights can reach."""
    with tempfile.TemporaryDirectory(prefix="resilience-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "match"),
    [
        pytest.param(0o555, 0o644, "cannot be written", id="folder"),
        pytest.param(0o777, 0o444, "cannot be written", id="file"),
    ],
)
def test_what_may_not_be_written_can_still_be_read(
    public: Path, run: Run, folder_mode: int, file_mode: int, match: str
) -> None:
    history = History(public / "history.duckdb")
    for name in ("first", "second"):
        spool = Spool(prepare(public), session_id=name, worker="w", now_us=lambda: 1)
        spool.emit("attempt", {"nodeid": name})
        spool.close()
        if name == "first":
            history.merge([spool.path])
    history.path.with_name("history.duckdb.lock").unlink(missing_ok=True)
    history.path.chmod(file_mode)
    public.chmod(folder_mode)
    refusal, sessions = run("-c", _AS_NOBODY, history.path, spool.path).split("\n")
    assert match in refusal
    assert sessions == "['first']"
    assert spool.path.exists()
    public.chmod(0o777)
    history.path.chmod(0o666)
    assert history.merge(orphans(public / "spool")).records == 1


_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from pytest_resilience.exceptions import StoreError
from pytest_resilience.store.history import History
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), hard))
try:
    History(Path(sys.argv[1])).merge([Path(sys.argv[2])])
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [100, 20_000, 300_000], ids="{} bytes".format)
def test_a_file_that_may_not_grow_keeps_what_it_has(
    history: History, path: Path, filled: Fill, run: Run, room: int
) -> None:
    """Stands for a full disk where nobody may mount a small one."""
    history.merge([path])
    big = filled(*[("attempt", {"nodeid": str(n), "traceback": os.urandom(500).hex()})
                   for n in range(2000)])  # fmt: skip
    size = history.path.stat().st_size
    refusal = run("-c", _WITH_LIMIT, history.path, big, size + room)
    assert "no space left" in refusal or "could not be used" in refusal
    assert big.exists()
    assert merged(history) == 3
    assert history.merge([big]).records == 2000
    assert merged(history) == 2003


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk; RLIMIT_FSIZE stands for it above")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_keeps_the_spool_until_there_is_room(small_disk: Path) -> None:
    history = History(small_disk / "history.duckdb")
    spools = prepare(small_disk)

    def fill(name: str, text: str) -> Spool:
        spool = Spool(spools, session_id=name, worker="w", now_us=lambda: 1)
        for n in range(200):
            spool.emit("attempt", {"nodeid": f"{name}-{n}", "traceback": text})
        spool.close()
        return spool

    assert history.merge([fill("first", "x").path]).records == 200
    late = fill("late", os.urandom(1000).hex())
    assert late.lost == 0
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    refused(history, late.path, "no space left", touched=True)
    # The spool cannot grow either, and says so.
    lost = fill("lost", os.urandom(1000).hex())
    assert lost.lost > 0
    assert lost.error
    ballast.unlink()
    assert history.merge([late.path]).records == 200
    assert history.merge(orphans(spools)).records == 200 - lost.lost
    assert merged(history) == 600 - lost.lost
