"""The small examples do what their pages say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.inner import remains
from tests.conftest import RunSuite

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.browser


def test_what_is_injected_is_recovered(
    run_suite: RunSuite, tmp_path: Path, temporary: Path
) -> None:
    """By marker, fixture and class; and the terminal counts it."""
    shutil.copytree(EXAMPLES / "injection", tmp_path, dirs_exist_ok=True)
    run = run_suite({}, env={"TMPDIR": str(temporary)})
    assert run.verdicts == {
        "test_by_the_fixture": "passed",
        "test_by_the_class": "passed",
        "test_by_a_marker": "recovered",
        "test_by_a_marker_before_a_fixture": "recovered",
    }, run.output
    for told in ("hang:mild@call", "crash:severe@call", "driver_crash:severe@setup:teapot"):
        assert f"1 x {told}" in run.output
    assert remains(temporary) == []
