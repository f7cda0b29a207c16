"""Trials of sessions: how long one may take, and what is asked of each."""

from __future__ import annotations

from pathlib import Path

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.browser.trial import Trial
from tests.browser.chromium import in_time, session_of

#: Seconds a trial that is to work may take, on a machine that does much else.
AMPLE_S = 60.0
#: Seconds after which one is cut off that never would work.
SHORT_S = 3.0


def trial_of(registry: SessionRegistry, driver: object) -> Trial:
    trial = Trial.of_session(session_of(registry, driver))
    assert trial is not None
    return trial


def timed(trial: Trial, limit_s: float) -> tuple[bool, str]:
    """Try, and see to it that it was bounded."""
    with in_time():
        return trial.succeeds(limit_s)


def written(path: Path, text: str) -> str:
    """Write a program."""
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return str(path)
