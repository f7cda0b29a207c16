"""Slots for browsers, shared by all processes of one machine that name the same folder.

A slot taken is a file that its taker keeps locked; so is a ticket, the place of one who waits
for a slot. The kernel lets go of the lock when the process ends, however it does, and whoever
counts next removes the file.

Invariant: slots are counted and taken behind one door, one process at a time, so that no more
are taken than the taker was told to allow; who waits longest comes first. What cannot be read
or written raises `OSError` and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds to wait for the door; who goes through needs less than a millisecond.
PATIENCE_S = 5.0
#: Seconds after which one who waits, and does not look, is not waited for.
_ASLEEP_S = 5.0
_PAUSE_S = 0.002
_SLOT, _TICKET, _STATE, _LOG = "slot-", "ticket-", "state.json", "log.jsonl"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True)
class Holder:
    """A slot or ticket of a living process.

    Attributes:
        told: What it said of itself.
    """

    name: str
    pid: int
    told: Mapping[str, Any]


class Claim:
    """A slot or a ticket of this process, until `release`, or until the process ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._pid = os.getpid()

    @property
    def name(self) -> str:
        """Its file's name; an older ticket's is smaller."""
        return self.path.name

    @property
    def is_held(self) -> bool:
        """Whether it was not released yet."""
        return self._descriptor >= 0

    def touch(self) -> None:
        """Show that its holder still looks after it."""
        with contextlib.suppress(OSError):
            os.utime(self._descriptor)

    def release(self) -> None:
        """Give it back; does nothing in a forked copy of the process, or a second time."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                self.path.unlink()
            # A forked copy may hold the descriptor, too: closing it would not free the lock.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            os.close(descriptor)


class Slots:
    """The slots in a folder, which is made if it is not there.

    Args:
        told: What others may know of the holder; JSON-plain.
        monotonic_ns: A clock that all processes of the machine share.

    Raises:
        OSError: The folder cannot be used, or belongs to somebody else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        told: Mapping[str, Any] | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.folder = folder
        self._told = dict(told or {})
        self._monotonic_ns = monotonic_ns
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to somebody else")
        self._claims: weakref.WeakSet[Claim] = weakref.WeakSet()
        _forget_in_forks(self._claims)

    @contextlib.contextmanager
    def door(self) -> Iterator[None]:
        """Keep other processes, and threads, from taking slots or changing the state.

        Raises:
            TimeoutError: Somebody else has kept it shut for `PATIENCE_S` seconds.
        """
        descriptor = os.open(self.folder / "door", _FLAGS, 0o600)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not _lock(descriptor):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"{self.folder / 'door'} is kept locked")
                time.sleep(_PAUSE_S)
            yield
        finally:
            os.close(descriptor)

    # What follows is to be called behind the door, where it says so.

    def taken(self) -> list[Holder]:
        """Return the slots that are taken, the oldest first."""
        return self._held(_SLOT)

    def waiting(self) -> list[Holder]:
        """Return the tickets of those who wait, the oldest first."""
        return self._held(_TICKET)

    def admits(self, limit: int | None, ticket: Claim | None = None) -> bool:
        """Return whether a slot may be taken; behind the door.

        Where all who hold one wait for another, none of them would ever give one back: then
        the oldest of those who wait may take one beyond the limit.

        Args:
            limit: Slots that may be taken at once, None for any number.
            ticket: One's own, None without one.
        """
        waiting = self.waiting()
        name = ticket.name if ticket is not None else "~"
        if any(other.name < name and self._looks(other) for other in waiting):
            return False
        taken = self.taken()
        return limit is None or len(taken) < limit or self._stuck(taken, waiting)

    def take(self) -> Claim:
        """Take a slot, however many are taken; behind the door."""
        return self._claim(_SLOT)

    def queue(self) -> Claim:
        """Take a ticket; behind the door."""
        return self._claim(_TICKET)

    def _stuck(self, taken: list[Holder], waiting: list[Holder]) -> bool:
        # Who asks is as good as waiting.
        idle = {holder.pid for holder in waiting if self._looks(holder)} | {os.getpid()}
        return all(holder.pid in idle for holder in taken)

    def _looks(self, holder: Holder) -> bool:
        try:
            age_s = time.time() - (self.folder / holder.name).stat().st_mtime
        except OSError:
            return False
        return age_s < _ASLEEP_S

    def _claim(self, kind: str) -> Claim:
        path = self.folder / f"{kind}{self._monotonic_ns():020d}-{os.getpid()}"
        descriptor = os.open(path, _FLAGS | os.O_EXCL, 0o600)
        try:
            if not _lock(descriptor):
                raise BlockingIOError(f"{path} cannot be locked")
            os.write(descriptor, json.dumps({**self._told, "pid": os.getpid()}).encode())
        except OSError:
            os.close(descriptor)
            raise
        claim = Claim(path, descriptor)
        self._claims.add(claim)
        return claim

    def _held(self, kind: str) -> list[Holder]:
        found = []
        for name in sorted(os.listdir(self.folder)):
            if name.startswith(kind):
                holder = self._holder(name)
                if holder is not None:
                    found.append(holder)
        return found

    def _holder(self, name: str) -> Holder | None:
        """Return who holds a claim, None if nobody does any more."""
        path = self.folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _lock(descriptor, fcntl.LOCK_SH):
                with contextlib.suppress(OSError):
                    path.unlink()
                return None
            said = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
        told = _plain(said)
        return Holder(name, int(told.get("pid") or 0), told)

    # The state that the processes share

    def state(self) -> dict[str, Any] | None:
        """Return what `keep` kept last, None if nothing."""
        try:
            return _plain((self.folder / _STATE).read_bytes())
        except FileNotFoundError:
            return None

    def state_mark(self) -> tuple[int, int] | None:
        """Return something that differs once the state was changed; costs one system call."""
        try:
            found = os.stat(self.folder / _STATE)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def keep(self, state: Mapping[str, Any]) -> None:
        """Keep `state`, whole or not at all; behind the door."""
        new = self.folder / f"{_STATE}.new"
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(self.folder / _STATE)

    def note(self, record: Mapping[str, Any]) -> None:
        """Write `record` down; it survives the death of this process."""
        descriptor = os.open(self.folder / _LOG, _FLAGS | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (json.dumps(record) + "\n").encode())
        finally:
            os.close(descriptor)

    def notes(self) -> list[dict[str, Any]]:
        """Return all that was written down."""
        try:
            lines = (self.folder / _LOG).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [record for record in map(_plain, lines) if record]


def _lock(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _plain(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _forget_in_forks(claims: weakref.WeakSet[Claim]) -> None:
    """Let no forked copy of this process keep `claims` when this process is gone."""
    kept = weakref.ref(claims)

    def forget() -> None:
        for claim in tuple(kept() or ()):
            claim.release()

    os.register_at_fork(after_in_child=forget)
