"""Says on what a figure was measured.

Invariant: a figure without its machine and versions is not printed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("pytest", "selenium", "psutil", "urllib3", "duckdb")
PROGRAMS = ("chromium", "chromedriver", "firefox")


def described() -> str:
    """Return machine, system, load and versions, one a line."""
    lines = [
        f"machine    {_processor()}, {os.cpu_count()} processors, {_memory()}",
        f"system     {platform.platform()}, Python {platform.python_version()}",
        f"load       {' '.join(f'{load:.1f}' for load in os.getloadavg())}",
        "packages   " + ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES),
    ]
    found = [program for program in PROGRAMS if shutil.which(program)]
    lines += [f"program    {_version(program)}" for program in found]
    return "\n".join(lines)


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal:"):
            return f"{int(line.split()[1]) / 1024**2:.0f} GiB"
    return "memory unknown"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().partition(" (")[0]
