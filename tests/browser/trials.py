"""Trials of sessions: how long one may take, and what is asked of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.browser.trial import Trial

Chrome = Callable[..., webdriver.Chrome]
Eventually = Callable[..., bool]

#: Seconds a trial that is to work may take, on a machine that does much else.
AMPLE_S = 60.0
#: Seconds after which one is cut off that never would work.
SHORT_S = 3.0
#: Seconds that are too long for something that is cut off after `SHORT_S`.
FAR_TOO_LONG_S = 120.0


def trial_of(registry: SessionRegistry, driver: object) -> Trial:
    session = registry.session_of(driver)
    assert session is not None
    trial = Trial.of_session(session)
    assert trial is not None
    return trial


def timed(trial: Trial, limit_s: float) -> tuple[bool, str]:
    """Try, and see to it that it was bounded."""
    begun = time.monotonic()
    answer = trial.succeeds(limit_s)
    assert time.monotonic() - begun < FAR_TOO_LONG_S
    return answer


def written(path: Path, text: str) -> str:
    """Write a program."""
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return str(path)
