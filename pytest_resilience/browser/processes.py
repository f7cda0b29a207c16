"""Process trees: in what state they are, who belongs to them, how they are ended.

Invariant: a process is a pair of pid and creation time, and nothing is done to a pid
whose creation time has changed: it belongs to somebody else by now.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from itertools import zip_longest
from typing import NamedTuple

import psutil

from pytest_resilience.core.evidence import ALIVE, GONE, LIFELESS, STOPPED, ZOMBIE

RENDERER = "renderer"
GPU = "gpu-process"

_HAS_GROUPS = hasattr(os, "getpgid")
# Two readings of one creation time differ by rounding; a pid is not reused that fast.
_SAME_S = 0.5
#: Seconds a killed child gets to become a zombie as a whole.
_REAP_LIMIT_S = 1.0


class ProcessId(NamedTuple):
    """Identity of a process: its pid, and its creation time in seconds since the epoch."""

    pid: int
    created: float


def identify(pid: int | None) -> ProcessId | None:
    """Return the identity of the process that has `pid` now, None if there is none."""
    if pid is None or pid <= 0:
        return None
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except (psutil.Error, OSError):
        return None


def state(process: ProcessId) -> str:
    """Return `alive`, `stopped`, `zombie` or `gone`; a reused pid counts as gone."""
    found = _resolve(process)
    if found is None:
        return GONE
    try:
        status = found.status()
    except (psutil.Error, OSError):
        return GONE
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return STOPPED
    return ZOMBIE if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else ALIVE


def family(root: ProcessId) -> tuple[ProcessId, ...]:
    """Return `root` and all its descendants, parents before children; () if it is gone."""
    found = _resolve(root)
    if found is None:
        return ()
    try:
        children = found.children(recursive=True)
    except (psutil.Error, OSError):
        children = []
    return (root, *_identities(children))


def leads_group(process: ProcessId) -> bool:
    """Return whether `process` leads a process group of its own, apart from ours."""
    if not _HAS_GROUPS:
        return False
    try:
        return os.getpgid(process.pid) == process.pid != os.getpgid(0)
    except OSError:
        return False


def group(leader: ProcessId) -> tuple[ProcessId, ...]:
    """Return the living members of the group that `leader` leads or led before it died."""
    if not group_exists(leader):
        return ()
    present = identify(leader.pid)
    if present is not None and abs(present.created - leader.created) > _SAME_S:
        return ()
    members = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) != leader.pid:
                continue
        except OSError:
            continue
        member = identify(pid)
        if member is not None and state(member) not in LIFELESS:
            members.append(member)
    return tuple(members)


def group_exists(leader: ProcessId) -> bool:
    """Return whether anybody, zombies included, is in the group; costs microseconds."""
    if not _HAS_GROUPS:
        return False
    try:
        os.killpg(leader.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def mentioning(argument: str) -> tuple[ProcessId, ...]:
    """Return the processes one of whose arguments contains `argument`, ourselves excepted."""
    if not argument:
        return ()
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(argument in a for a in process.cmdline()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return _identities(found)


def role(process: ProcessId) -> str:
    """Return what a child of a browser is for: `renderer`, `gpu-process`, …, "" if unknown.

    The content processes of Firefox, which call themselves tabs, are renderers.
    """
    arguments = _arguments(process)
    for argument in arguments:
        if argument.startswith("--type="):
            # Chromium rewrites its command line, so that all of it may be one argument.
            return argument.removeprefix("--type=").split(" ", 1)[0]
        if " --type=" in argument:
            return argument.split(" --type=", 1)[1].split(" ", 1)[0]
    if "-contentproc" in arguments:
        return {"tab": RENDERER, "gpu": GPU}.get(arguments[-1], arguments[-1])
    return ""


def option(process: ProcessId, names: Collection[str]) -> str:
    """Return the value of the first option of `process` called one of `names`, "" if none is."""
    arguments = _arguments(process)
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, given, value = argument.partition("=")
        if name in names:
            return value if given else following
    return ""


def demand_seconds(process: ProcessId) -> float:
    """Return the seconds the main thread of `process` has run, or waited for a processor.

    Its growth tells a thread that computes from one that is idle, however crowded the
    machine is. Where the system does not count the waiting, only the running is returned;
    0 if the process is gone.
    """
    found = _resolve(process)
    if found is None:
        return 0.0
    try:
        with open(f"/proc/{process.pid}/schedstat", encoding="ascii") as counters:
            running_ns, waiting_ns, _slices = counters.read().split()
        return (int(running_ns) + int(waiting_ns)) / 1e9
    except (OSError, ValueError):
        pass
    try:
        times = found.cpu_times()
    except (psutil.Error, OSError):
        return 0.0
    return float(times.user + times.system)


def kill(victims: Iterable[ProcessId]) -> None:
    """Send SIGKILL to those of `victims` that still are what they were; stopped ones too."""
    for victim in victims:
        found = _resolve(victim)
        if found is None:
            continue
        try:
            found.kill()
        except (psutil.Error, OSError):
            continue


def exterminate(
    collect: Callable[[], Iterable[ProcessId]], *, wait_s: float = 5.0
) -> tuple[ProcessId, ...]:
    """Kill what `collect` finds, the last found first, until it finds nothing living.

    Args:
        collect: Called again after each round, since a dying browser still starts children.
        wait_s: Seconds after which to give up.

    Returns:
        Those that outlived it: processes we may not kill, or in an uninterruptible wait.
    """
    deadline = time.monotonic() + wait_s
    pause_s = 0.002
    while True:
        living = [process for process in collect() if state(process) not in LIFELESS]
        if not living or time.monotonic() > deadline:
            return tuple(living)
        kill(reversed(living))
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 2)


def reap_child(child: subprocess.Popen[bytes] | None) -> None:
    """Take the exit status of a child that was killed, and close our ends of its pipes."""
    if child is None:
        return
    # Its main thread may be a zombie while others still end: until then there is no status,
    # and a child dropped without one makes Python warn.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_REAP_LIMIT_S)
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue


def _resolve(process: ProcessId) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.created) <= _SAME_S
    except (psutil.Error, OSError):
        return None
    return found if same else None


def _arguments(process: ProcessId) -> list[str]:
    found = _resolve(process)
    try:
        return found.cmdline() if found is not None else []
    except (psutil.Error, OSError):
        return []


def _identities(found: Iterable[psutil.Process]) -> tuple[ProcessId, ...]:
    identities = []
    for process in found:
        try:
            identities.append(ProcessId(process.pid, process.create_time()))
        except (psutil.Error, OSError):
            continue
    return tuple(identities)
