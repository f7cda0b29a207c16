"""How is each fault called, by what evidence, and how soon?

    python -m benchmarks.diagnosis [chrome] [firefox] [memory] [stopped] [grid] [grid-stopped]
                                   [--only WORD]

Lets every fault of `tests/acceptance/*_faults.py` strike a real browser, local or behind a real
Selenium Grid, and prints what was made of it: one line a fault, how many were called what they
are, and how long the slowest took. Ends with status 1 if one is not, or took too long.

Invariant: nothing is printed that was not measured in this run.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import described
from pytest_resilience.browser.sessions import SessionRegistry
from tests.acceptance.grid_faults import GRID, GridLab
from tests.acceptance.live import Fault, Finding, Lab, diagnose, starts
from tests.acceptance.live_faults import CHROMIUM, FIREFOX
from tests.acceptance.memory_faults import (
    IMPOSSIBLE,
    MEMORY,
    on_full_shared_memory,
    why_not_private,
)
from tests.acceptance.stopped_faults import STOPPED, STOPPED_BEHIND_GRID

#: Name of a table to its faults.
_TABLES = {
    "chrome": CHROMIUM,
    "firefox": FIREFOX,
    "memory": MEMORY,
    "stopped": STOPPED,
    "grid": GRID,
    "grid-stopped": STOPPED_BEHIND_GRID,
}
#: Seconds from a command to the diagnosis of its failure, where something is stopped or dead.
STOPPED_BAR_S, DEAD_BAR_S = 15.0, 1.0
_HEAD = (
    f"{'fault':26}{'browser':11}{'error type':12}{'layer':10}{'infra':6}{'again':6}{'rule':32}"
    f"{'seen s':>8}{'probed s':>9}  exception; evidence"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=[*_TABLES, []], default=[])
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    options = parser.parse_args()
    print(described(), end=f"\n\n{_HEAD}\n")
    private = why_not_private()
    if private:
        print(f"full /dev/shm: not possible on this machine: {private}")
    if IMPOSSIBLE:
        print(f"control groups: not possible on this machine: {IMPOSSIBLE}")
    chosen = options.tables or list(_TABLES)
    findings: list[Finding | None] = []
    for behind_grid in (False, True):
        names = [name for name in chosen if name.startswith("grid") is behind_grid]
        faults = [f for name in names for f in _TABLES[name] if options.only in f.name]
        if faults:
            findings += _findings(faults, names, behind_grid=behind_grid)
    right = sum(found is not None and found.right for found in findings)
    print(f"\n{right} of {len(findings)} called what they are")
    struck = [found for found in findings if found is not None]
    soon = [
        _soon("stopped", [f for f in struck if "stopped" in f.fault.name], STOPPED_BAR_S),
        _soon("dead", [f for f in struck if _leaves_a_corpse(f.fault)], DEAD_BAR_S),
    ]
    if right < len(findings) or not all(soon):
        sys.exit(1)


def _leaves_a_corpse(fault: Fault) -> bool:
    """Return whether something that a living session needs is killed."""
    if "at start" in fault.name:
        return False
    return fault.spends and any(word in fault.name for word in ("killed", "crashed"))


def _soon(what: str, findings: list[Finding], bar_s: float) -> bool:
    """Print the slowest of `findings`, and return whether it was not too slow."""
    if not findings:
        return True
    slowest = max(findings, key=lambda found: found.latency_s + found.probing_s)
    seconds = slowest.latency_s + slowest.probing_s
    print(
        f"what is {what} is known within {seconds:.3f} s"
        f" ({slowest.fault.browser}: {slowest.fault.name});"
        f" bar {bar_s:g} s: {'met' if seconds <= bar_s else 'MISSED'}"
    )
    return seconds <= bar_s


def _findings(faults: list[Fault], names: list[str], *, behind_grid: bool) -> list[Finding | None]:
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    registry = SessionRegistry(quit_limit_s=4.0)
    registry.watch()
    lab = GridLab(registry, folder) if behind_grid else Lab(registry, starts(), folder)
    try:
        if "memory" in names and not why_not_private():
            mapped, short = on_full_shared_memory(lab)
            print(
                f"{'shared memory full':26}{'chrome':11}no failure; {mapped} files of it in use;"
                f" the machine: {short}"
            )
            lab.afterwards.pop()()
        return [_found(fault, lab) for fault in faults]
    finally:
        lab.close()
        registry.unwatch()
        shutil.rmtree(folder, ignore_errors=True)


def _found(fault: Fault, lab: Lab) -> Finding | None:
    try:
        found = diagnose(fault, lab)
    except Exception as error:  # noqa: BLE001 - the other faults are still worth measuring
        with contextlib.suppress(Exception):
            lab.spend(fault.browser)
        print(f"{fault.name:26}{fault.browser:11}not struck: {type(error).__name__}: {error}")
        return None
    diagnosis = found.diagnosis
    print(
        f"{fault.name:26}{fault.browser:11}{diagnosis.error_type.label:12}"
        f"{diagnosis.error_type.layer:10}"
        f"{'yes' if diagnosis.error_type.infrastructure else 'no':6}"
        f"{'yes' if diagnosis.transient else '-':6}{diagnosis.rule:32}"
        f"{found.latency_s:8.3f}{found.probing_s:9.3f}  {found.exception}; {found.told()}"
        f"{'' if found.right else '   <-- not what it is'}",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
