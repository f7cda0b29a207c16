"""The faults of memory: what the kernel does to browsers that want more than they may have.

A page that fills the heap of its tab strikes on every machine. The others need a control
group, which not every machine lets us make: `IMPOSSIBLE` says why, or nothing.

A full /dev/shm is no fault to a Chromium that keeps nothing there: `on_full_shared_memory`
shows whether the one at hand does.

Invariant: only processes of browsers started here are put into a group, and no group
outlives its fault.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from pytest_resilience.browser.host import Host
from tests.acceptance.live import Fault, Lab
from tests.acceptance.victims import ended, main_process, renderers, until

_MOUNTED = Path("/sys/fs/cgroup")
#: Bytes a browser gets beyond what it uses on the home page.
_LEFT_BYTES = 96 * 1024 * 1024
#: Limits of memory, and of memory with swap, in both versions of control groups.
_LIMITS = ("memory.max", "memory.limit_in_bytes")
_NO_SWAP = ("memory.swap.max", "memory.swappiness")
_USED = ("memory.current", "memory.usage_in_bytes")


class Group:
    """A control group whose memory can be limited, inside the one we are in.

    Raises:
        OSError: The machine does not let us make one; the error says why.
    """

    def __init__(self) -> None:
        self._folder = _made()
        with contextlib.suppress(OSError):
            _file(self._folder, _NO_SWAP).write_text("0")

    def program(self, path: str, folder: Path) -> str:
        """Return a program that is `path`, and runs in this group with all it starts."""
        program = folder / f"in-{self._folder.name}"
        entrance = self._folder / "cgroup.procs"
        program.write_text(f'#!/bin/sh -e\necho $$ > "{entrance}"\nexec {path} "$@"\n', "utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return str(program)

    def limit(self, beyond: int) -> None:
        """Let the group use `beyond` bytes more than it does now."""
        used = int(_file(self._folder, _USED).read_text())
        _file(self._folder, _LIMITS).write_text(str(used + beyond))

    def remove(self) -> None:
        """End what is in the group, and the group."""
        until(self._removed)

    def _removed(self) -> bool:
        for pid in (self._folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        # The kernel takes a moment to let go of what has ended.
        with contextlib.suppress(OSError):
            self._folder.rmdir()
        return not self._folder.exists()


def why_not() -> str:
    """Return why no process can be put into a control group of ours, "" if one can."""
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    try:
        group = Group()
        try:
            entered = subprocess.run([group.program("true", folder)], check=False, timeout=30)
            group.limit(_LEFT_BYTES)
        finally:
            group.remove()
        return "" if entered.returncode == 0 else "no process may enter a control group"
    except OSError as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made() -> Path:
    reasons = []
    for place in _places():
        try:
            folder = Path(tempfile.mkdtemp(prefix="pytest-resilience-", dir=place))
        except OSError as error:
            reasons.append(str(error))
            continue
        if any((folder / name).exists() for name in _LIMITS):
            return folder
        folder.rmdir()
        reasons.append(f"{place} does not limit memory")
    raise OSError("; ".join(reasons) or f"no control groups at {_MOUNTED}")


def _places() -> list[Path]:
    """Return the groups we are in that might have one of ours inside, the nearest first."""
    found = []
    for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
        _number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root = _MOUNTED / "memory"
        elif controllers == "" and (_MOUNTED / "cgroup.controllers").exists():
            root = _MOUNTED
        else:
            continue
        own = root / path.strip("/")
        # A container sees its own group as the root, whatever it is called outside.
        own = own if own.is_dir() else root
        found += [own, *(level for level in own.parents if root in (level, *level.parents))]
    return found


def _file(folder: Path, names: tuple[str, ...]) -> Path:
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])


def exhaust_heap(lab: Lab) -> None:
    """Let a page fill the heap of a browser that has little."""
    driver = lab.starts["chrome"]("--js-flags=--max-old-space-size=64")
    lab.afterwards.append(lambda: lab.registry.discard(lab.registry.session_of(driver)))
    driver.get(f"{lab.app.url}/hog")
    use_until_it_fails(lab, driver)


def use_until_it_fails(lab: Lab, driver: Any) -> None:
    """Look at the page again and again: a renderer that ended may not have been the page's."""

    def looked() -> bool:
        lab.now()
        driver.find_element("tag name", "title")
        return False

    until(looked)


def run_short(victims: Callable[[Any], list[psutil.Process]]) -> Callable[[Lab], object]:
    """Return a fault: a page wants more memory than its browser's group may use.

    Args:
        victims: Those of the browser's processes of which the kernel has to choose one.
    """

    def strike(lab: Lab) -> None:
        group = Group()
        lab.afterwards.append(group.remove)
        program = group.program(shutil.which("chromedriver") or "chromedriver", lab.folder)
        driver = lab.starts["chrome"](driver=program)
        lab.afterwards.append(lambda: lab.registry.discard(lab.registry.session_of(driver)))
        driver.get(lab.app.url)
        chosen = victims(driver)
        for process in chosen:
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
        group.limit(_LEFT_BYTES)
        driver.get(f"{lab.app.url}/hog")
        until(lambda: any(map(ended, chosen)))
        use_until_it_fails(lab, driver)

    return strike


# Shared memory

#: Starts Chromium, told to use /dev/shm, in a place where that is full.
_FULL = """#!/bin/sh -e
for a do shift; [ "$a" = --disable-dev-shm-usage ] || set -- "$@" "$a"; done
exec unshare -m sh -ec '
    mount -t tmpfs -o size=64k none /dev/shm
    dd if=/dev/zero of=/dev/shm/full bs=4k count=16 status=none
    exec "$0" "$@"
' {program} "$@"
"""
#: Needs tens of megabytes in every process that has a part in showing it.
_LARGE = """
const canvas = document.createElement('canvas');
canvas.width = canvas.height = 4000;
document.body.append(canvas);
canvas.getContext('2d').fillRect(0, 0, 4000, 4000);
return 'x'.repeat(1e7).length;
"""


def why_not_private() -> str:
    """Return why a process cannot be given a /dev/shm of its own, "" if it can."""
    mount = ("unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/dev/shm")
    try:
        done = subprocess.run(mount, check=False, timeout=30, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or "mount failed"


def on_full_shared_memory(lab: Lab) -> tuple[int, list[str]]:
    """Let a Chromium show what needs much memory, with a /dev/shm that has no room.

    Returns:
        How many of its files in memory are there, which is none if they are elsewhere, and what
        the probe of the machine says of it.

    Raises:
        WebDriverException: It could not.
    """
    program = lab.folder / "on-full-shared-memory"
    program.write_text(_FULL.format(program=shutil.which("chromium") or "chromium"), "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    driver = lab.starts["chrome"](binary=str(program))
    lab.afterwards.append(lambda: lab.registry.discard(lab.registry.session_of(driver)))
    driver.get(lab.app.url)
    driver.set_window_size(3000, 3000)
    assert driver.execute_script(_LARGE) == 10_000_000
    assert driver.get_screenshot_as_png()
    (browser,) = main_process(driver)
    mapped = Path(f"/proc/{browser.pid}/maps").read_text("utf-8", "replace").count("/dev/shm/")
    short = [s for s in Host().shortages(pids=[browser.pid]) if s.startswith("/dev/shm")]
    return mapped, short


_row = functools.partial(Fault, infrastructure=True, broken=True)
_GROUPED = (
    _row("tab killed, no memory", run_short(renderers), ("resource",), layer="host",
         evidence={"session": "crashed", "host": "short"}),
    _row("browser killed, no memory", run_short(main_process), ("resource",), layer="host",
         evidence={"browser_process": "gone", "host": "short"}),
)  # fmt: skip

#: Why the faults that need a control group cannot strike on this machine, "" if they can.
IMPOSSIBLE = why_not()
#: The faults that can strike on this machine.
MEMORY = (
    _row("heap exhausted", exhaust_heap, ("browser", "resource"),
         evidence={"session": "crashed"}),
    *(() if IMPOSSIBLE else _GROUPED),
)  # fmt: skip
