"""How is each fault called, by what evidence, and how soon?

    python -m benchmarks.diagnosis [chrome] [firefox] [--only WORD]

Lets every fault of `tests/acceptance/live_faults.py` strike a real browser and prints what was
made of it: one line a fault, and how many were called what they are.

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
from tests.acceptance.live import Fault, Finding, Lab, diagnose, starts
from tests.acceptance.live_faults import CHROMIUM, FIREFOX

_HEAD = (
    f"{'fault':26}{'browser':9}{'error type':12}{'infra':6}{'again':6}{'rule':32}"
    f"{'seen s':>8}{'probed s':>9}  exception; evidence"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("browsers", nargs="*", choices=["chrome", "firefox", []], default=[])
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    options = parser.parse_args()
    faults = [
        fault
        for fault in (*CHROMIUM, *FIREFOX)
        if options.only in fault.name
        and fault.browser in (options.browsers or ["chrome", "firefox"])
    ]
    print(described(), end=f"\n\n{_HEAD}\n")
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    registry = SessionRegistry(quit_limit_s=4.0)
    registry.watch()
    lab = Lab(registry, starts(), folder)
    try:
        findings = [found for fault in faults if (found := _found(fault, lab)) is not None]
    finally:
        lab.close()
        registry.unwatch()
        shutil.rmtree(folder, ignore_errors=True)
    right = sum(found.right for found in findings)
    print(f"\n{right} of {len(faults)} called what they are")
    if right < len(faults):
        sys.exit(1)


def _found(fault: Fault, lab: Lab) -> Finding | None:
    try:
        found = diagnose(fault, lab)
    except Exception as error:  # noqa: BLE001 - the other faults are still worth measuring
        with contextlib.suppress(Exception):
            lab.spend(fault.browser)
        print(f"{fault.name:26}{fault.browser:9}not struck: {type(error).__name__}: {error}")
        return None
    diagnosis = found.diagnosis
    print(
        f"{fault.name:26}{fault.browser:9}{diagnosis.error_type.label:12}"
        f"{'yes' if diagnosis.error_type.infrastructure else 'no':6}"
        f"{'yes' if diagnosis.transient else '-':6}{diagnosis.rule:32}"
        f"{found.latency_s:8.3f}{found.probing_s:9.3f}  {found.exception}; {found.told()}"
        f"{'' if found.right else '   <-- not what it is'}",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
