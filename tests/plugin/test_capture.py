"""What an attempt printed, logged and left behind belongs to it alone."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

SUITE = """
    import gc
    import logging
    import sys
    import weakref
    import pytest
    from tests.plugin.breakage import lose_browser, note

    LOG = logging.getLogger("inner")

    class Driver:
        pass

    DRIVERS = []

    @pytest.fixture
    def driver():
        driver = Driver()
        DRIVERS.append(weakref.ref(driver))
        yield driver

    def test_fails_at_last(caplog, capsys, tmp_path):
        attempt = note("fails")
        LOG.warning("logged in attempt %s", attempt)
        assert [r.getMessage() for r in caplog.records] == [f"logged in attempt {attempt}"]
        print(f"read in attempt {attempt}")
        assert capsys.readouterr().out == f"read in attempt {attempt}\\n"
        with capsys.disabled():
            pass
        note(f"path {tmp_path.name} {len(list(tmp_path.iterdir()))}")
        (tmp_path / "artifact.png").touch()
        if attempt == 1:
            lose_browser()
        assert attempt == 0, "the product is wrong"

    def test_prints():
        attempt = note("prints")
        print(f"printed in attempt {attempt}")
        print(f"complained in attempt {attempt}", file=sys.stderr)
        if attempt == 1:
            lose_browser()
        assert attempt == 0, "the product is wrong"

    def test_keeps_driver_in_frame(driver):
        local = driver
        if note("frame") <= 2:
            lose_browser()

    def test_frames_of_attempts_are_gone():
        gc.collect()
        assert len(DRIVERS) == 3
        assert [ref() for ref in DRIVERS] == [None, None, None]
"""


@pytest.mark.parametrize(
    "mode",
    ["--capture=fd", "--capture=sys", "--capture=tee-sys", "--capture=no"],
    ids=["fd", "sys", "tee-sys", "no"],
)
def test_each_attempt_shows_its_own_output(run_inner: RunInner, mode: str) -> None:
    run = run_inner(SUITE, mode)
    assert run.verdicts == {
        "test_fails_at_last": "failed",
        "test_prints": "failed",
        "test_keeps_driver_in_frame": "recovered",
        "test_frames_of_attempts_are_gone": "passed",
    }, run.output
    failures = run.output.partition("= FAILURES =")[2]
    assert "logged in attempt 2" in failures
    assert "logged in attempt 1" not in failures
    if mode == "--capture=no":
        progress = run.output.partition("= FAILURES =")[0]
        assert "printed in attempt 1" in progress
        assert "printed in attempt 2" in progress
    else:
        for word in ("printed", "complained"):
            assert f"{word} in attempt 2" in failures
            assert f"{word} in attempt 1" not in failures


def test_each_attempt_has_a_temporary_directory_of_its_own(run_inner: RunInner) -> None:
    run = run_inner(SUITE, "-k", "test_fails_at_last")
    paths = [line.split() for line in run.log("test_it.txt") if line.startswith("path")]
    assert len({name for _path, name, _files in paths}) == 2
    assert [files for _path, _name, files in paths] == ["0", "0"]


def test_without_the_logging_plugin_attempts_work_as_ever(run_inner: RunInner) -> None:
    run = run_inner(SUITE, *("-p", "no:logging"), "-k", "prints or frame")
    assert run.counts == {"failed": 1, "recovered": 1, "passed": 1}, run.output
