"""Faults of what is no browser: the history file, the application's database, our own code.

Invariant: the true history is back when the fault is undone, and also when this process
ends, however it does; whatever was written in its place meanwhile is kept beside it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from pytest_resilience.browser.fault_applied import Applied, FaultError, InjectedError

#: Seconds the helper gets to begin, and to end.
_HELPER_LIMIT_S = 30.0
GARBAGE = b"This is not a database; pytest-resilience has put it here for the time of a test.\n"

# Each does its deed, says so, and undoes it when nobody holds the other end any more.
_LOCK = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o644)
for wait_s in [0.05] * 200 + [None]:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        if wait_s is None:
            sys.exit("somebody else has it")
        time.sleep(wait_s)
print("locked", flush=True)
sys.stdin.read()
"""
_CORRUPT = """
import os, socket, sys, time
path, true, meanwhile = sys.argv[1:4]
garbage = bytes.fromhex(sys.argv[4])
# One at a time, or one would keep the garbage of another for the true file. This address is
# free again when this process has ended, however it does.
turn = socket.socket(socket.AF_UNIX)
for wait_s in [0.05] * 200 + [None]:
    try:
        turn.bind("\\0pytest-resilience " + sys.argv[5])
        break
    except OSError:
        if wait_s is None:
            sys.exit("somebody else does the same")
        time.sleep(wait_s)
if os.path.exists(true):
    sys.exit(f"{true} is the history of another run that has this fault; let it end.")
parts = [end for end in ("", ".wal") if os.path.exists(path + end)]
for end in parts:
    os.rename(path + end, true + end)
with open(path, "wb") as file:
    file.write(garbage)
print("corrupted", flush=True)
sys.stdin.read()
for end in ("", ".wal"):
    if os.path.exists(path + end):
        with open(path + end, "rb") as file:
            ours = file.read(len(garbage) + 1) == garbage
        os.remove(path + end) if ours else os.replace(path + end, meanwhile + end)
for end in parts:
    os.replace(true + end, path + end)
"""


def lock_history(applied: Applied) -> None:
    """Let another process hold the lock of the history file."""
    path = _history(applied)
    if os.name != "posix":
        raise FaultError(f"{applied.name} is possible where files are locked by flock alone.")
    _begin(applied, _LOCK, f"{path}.lock")
    applied.prove(locked=f"{path}.lock")


def corrupt_history(applied: Applied) -> None:
    """Put something unreadable in the place of the history file."""
    path = _history(applied)
    true, meanwhile = (path.with_name(f"{path.name}.{word}") for word in ("true", "meanwhile"))
    if true.exists():
        raise FaultError(f"{true} is the history of another run that has this fault; let it end.")
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    address = hashlib.sha256(bytes(path)).hexdigest()
    _begin(applied, _CORRUPT, str(path), str(true), str(meanwhile), GARBAGE.hex(), address)
    applied.prove(corrupted=str(path), existed=existed)
    applied.look(lambda: {"unreadable": path.exists() and path.read_bytes() == GARBAGE})


def fail_application_database(applied: Applied) -> None:
    """Let the user's own hook make the database of the application fail."""
    if applied.arrange is None:
        raise FaultError(
            f"{applied.name} needs an implementation of the hook pytest_resilience_faults, for "
            "only you know how to make the database of your application fail."
        )
    undo = applied.arrange()
    if undo is not None:
        applied.when_undone(undo)
    applied.prove(arranged=True)


def raise_here(applied: Applied) -> None:
    """Raise an exception where the fault is asked for.

    Raises:
        InjectedError: Always.
    """
    raise InjectedError(f"{applied.name}: raised on purpose by pytest-resilience")


def _history(applied: Applied) -> Path:
    if applied.history is None:
        raise FaultError(f"{applied.name} needs a history, and this run keeps none.")
    return Path(applied.history).absolute()


def _begin(applied: Applied, code: str, *arguments: str) -> None:
    """Run `code` until the fault is undone, or this process ends."""
    helper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What interrupts the tests must not interrupt this.
        start_new_session=True,
    )

    def end() -> None:
        # Closing its input is what lets it undo its deed.
        _out, errors = helper.communicate(timeout=_HELPER_LIMIT_S)
        if helper.returncode:
            raise FaultError(f"{applied.name} is not undone: {errors.decode(errors='replace')}")

    applied.when_undone(end)
    assert helper.stdout is not None
    if not helper.stdout.readline():
        raise FaultError(f"{applied.name}: no process could be made to do it.")
