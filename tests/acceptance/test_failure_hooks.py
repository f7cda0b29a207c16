"""Hooks that send commands to the browser when a test has failed, beside our own questions."""

from __future__ import annotations

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

PICTURES = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(item, call):
        report = yield
        driver = item.funcargs.get("driver")
        if report.failed and driver is not None:
            assert driver.save_screenshot(f"{item.name}.png")
        return report
"""
SUITE = """
    import lab
    import pytest

    @pytest.fixture
    def driver():
        driver = lab.launch()
        driver.get(lab.PAGE)
        yield driver
        driver.quit()

    def test_title(driver):
        assert driver.title == "bank"

    def test_script(driver):
        assert driver.execute_script("return document.title") == "bank"

    @pytest.mark.xfail(strict=True)
    def test_expected(driver):
        assert driver.title == "bank"

    def test_skipped(driver):
        if driver.title == "shop":
            pytest.skip("closed")
"""


def test_a_picture_of_each_failure_is_taken_and_the_verdict_is_the_same(run_browsers: Run) -> None:
    """The page is what the evidence says, with and without pictures."""
    plain = run_browsers({"test_it.py": SUITE})
    run = run_browsers({"test_it.py": SUITE, "conftest.py": PICTURES})
    expected = {
        "test_title": ("failed", "failed in call product"),
        "test_script": ("failed", "failed in call product"),
        "test_expected": ("xfailed", "skipped"),
        "test_skipped": ("skipped", "skipped"),
    }
    assert told(plain) == expected, plain.output
    assert told(run) == expected, run.output
    for name in ("test_title", "test_script"):
        assert _said(run, name) == _said(plain, name)
        picture = (run.folder / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")


def _said(run: object, name: str) -> list[tuple[str, str]]:
    (attempt,) = run.attempts(name)  # type: ignore[attr-defined]
    return [(entry["probe"], entry["answer"]) for entry in attempt["evidence"]]
