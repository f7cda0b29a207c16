"""``pytest-resilience doctor`` and its checks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from packaging.requirements import Requirement

from pytest_resilience.cli import ExitCode, checks
from pytest_resilience.cli.checks import (
    MEBI,
    Check,
    Program,
    Status,
    at_least,
    available_memory,
    browsers,
    find_program,
    judge_browser,
    judge_driver,
    judge_limit,
    package,
    packages,
    records,
)

Run = Callable[..., Result]

GOOD = Check("python", Status.OK, "3.11.7")
POOR = Check("/dev/shm", Status.WARN, "64 MiB", "give it more")
BAD = Check("chromedriver", Status.FAIL, "[red]150[/red]", "install 156")


def program(folder: Path, name: str, says: str, status: int = 0) -> Path:
    """Put an executable on the search path `folder` that answers `says`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the doctor find these checks."""

    def find(*given: Check) -> None:
        monkeypatch.setattr("pytest_resilience.cli.doctor.all_checks", lambda directory: [*given])

    return find


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param([GOOD], ExitCode.OK, id="all well"),
        pytest.param([GOOD, POOR], ExitCode.OK, id="warning"),
        pytest.param([GOOD, POOR, BAD], ExitCode.FINDINGS, id="failure"),
    ],
)
def test_only_a_failed_check_changes_the_exit_status(
    run: Run, found: Callable[..., None], given: list[Check], status: ExitCode
) -> None:
    """Warnings leave the exit status 0, a failure makes it 1."""
    found(*given)
    assert run("doctor").exit_code == status


def test_table_has_one_line_for_each_check(run: Run, found: Callable[..., None]) -> None:
    """Each check is a line with its status and what to do; text is not read as markup."""
    found(GOOD, POOR, BAD)
    result = run("doctor")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["check", "ok", "warn", "fail"]
    assert "64 MiB: give it more" in result.stdout
    assert "[red]150[/red]: install 156" in result.stdout
    assert result.stderr == "1 ok, 1 warn, 1 fail\n"


def test_json_is_all_of_standard_output(run: Run, found: Callable[..., None]) -> None:
    """With --format json a program can read the findings."""
    found(GOOD, BAD)
    assert json.loads(run("doctor", "--format", "json").stdout) == [
        {"check": "python", "status": "ok", "found": "3.11.7", "advice": ""},
        {
            "check": "chromedriver",
            "status": "fail",
            "found": "[red]150[/red]",
            "advice": "install 156",
        },
    ]


def test_this_machine_is_examined(run: Run, tmp_path: Path) -> None:
    """Every kind of check is made here; whatever is not well has advice."""
    data = json.loads(run("doctor", str(tmp_path), "--format", "json").stdout)
    names = {check["check"] for check in data}
    assert {"python", "open files (ulimit -n)", "writable .resilience"} <= names
    assert {"chromium", "chromedriver"} <= names
    assert [check for check in data if check["status"] != "ok" and not check["advice"]] == []
    assert list(tmp_path.iterdir()) == []


def test_a_package_too_old_fails() -> None:
    """A version below the required one fails, with the command that helps."""
    check = package(Requirement("pytest>=9999"))
    assert (check.status, check.advice) == (Status.FAIL, "pip install --upgrade 'pytest>=9999'")


def test_a_missing_package_fails_and_a_missing_extra_warns() -> None:
    """What is optional only warns."""
    needed, extra = packages(
        ["no-such-thing-a>=1", "no-such-thing-b>=1; extra == 'xdist'", "pytest>=1; extra == 'dev'"]
    )
    assert (needed.status, needed.advice) == (Status.FAIL, "pip install 'no-such-thing-a>=1'")
    assert (extra.status, extra.advice) == (
        Status.WARN,
        "optional: pip install 'no-such-thing-b>=1'",
    )


def test_an_installed_package_is_well() -> None:
    """The installed version is shown."""
    (check,) = packages(["pytest>=8"])
    assert (check.status, check.found) == (Status.OK, pytest.__version__)


def test_running_from_source_is_a_warning() -> None:
    """Without an installed distribution pytest would not find the plugin."""
    (check,) = packages(None)
    assert check.status is Status.WARN


def test_browser_and_driver_are_found_with_their_versions(tmp_path: Path) -> None:
    """Programs on the search path are asked for their version."""
    program(tmp_path, "chromium", "Chromium 156.0.8078.79 built on Debian")
    program(tmp_path, "chromedriver", "ChromeDriver 156.0.8078.70 (abc)")
    browser, driver = browsers(str(tmp_path))
    assert (browser.status, browser.found) == (
        Status.OK,
        f"156.0.8078.79 at {tmp_path / 'chromium'}",
    )
    assert driver.status is Status.OK


def test_no_browser_at_all_is_one_warning(tmp_path: Path) -> None:
    """A machine without browsers may still use a grid."""
    (check,) = browsers(str(tmp_path))
    assert check.status is Status.WARN
    assert "Grid" in check.advice


def test_driver_without_browser(tmp_path: Path) -> None:
    """A driver alone is of no use, and the missing browser is named."""
    program(tmp_path, "geckodriver", "geckodriver 0.36.0")
    browser, driver, none = browsers(str(tmp_path))
    assert (browser.status, driver.status, none.status) == (Status.WARN, Status.OK, Status.WARN)


def test_driver_of_another_version_fails() -> None:
    """A driver must have its browser's major version; geckodriver has a count of its own."""
    browser = Program("/b", "Chromium 156.0.1")
    driver = Program("/d", "ChromeDriver 150.0.2")
    check = judge_driver("chromedriver", browser, driver, paired=True)
    assert (check.status, "install version 156" in check.advice) == (Status.FAIL, True)
    assert judge_driver("geckodriver", browser, driver, paired=False).status is Status.OK


def test_programs_that_do_not_answer_fail() -> None:
    """A browser or driver that cannot say its version will not start either."""
    mute = Program("/x", "cannot open display")
    assert judge_browser("firefox", mute).status is Status.FAIL
    assert judge_driver("geckodriver", mute, mute, paired=False).status is Status.FAIL


def test_missing_driver_is_a_warning() -> None:
    """Selenium Manager may download it."""
    check = judge_driver("chromedriver", Program("/b", "156.0"), Program(), paired=True)
    assert check.status is Status.WARN


def test_a_program_that_hangs_or_cannot_run_is_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that does not end is given up, one that cannot start is noted."""
    monkeypatch.setattr(checks, "VERSION_TIMEOUT", 0.2)
    hanging = tmp_path / "hanging"
    hanging.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)\n")
    hanging.chmod(0o755)
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    assert find_program(["hanging"], str(tmp_path)) == Program(str(hanging), "")
    assert find_program(["broken"], str(tmp_path)) == Program(str(broken), "")
    assert find_program(["none"], str(tmp_path)) == Program()


@pytest.mark.parametrize(
    ("limit", "status", "said"),
    [
        pytest.param(-1, Status.OK, "unlimited", id="unlimited"),
        pytest.param(1024, Status.OK, "1,024", id="enough"),
        pytest.param(256, Status.WARN, "256", id="short"),
    ],
)
def test_limits(limit: int, status: Status, said: str) -> None:
    """A limit below what browsers need is a warning that names the needed number."""
    check = judge_limit("open files", limit, 1024)
    assert (check.status, check.found) == (status, said)
    assert ("1,024 or more" in check.advice) == (status is Status.WARN)


def test_amounts() -> None:
    """Too little memory, disk or shared memory is a warning."""
    assert at_least("x", 64 * MEBI, 256 * MEBI, "more").to_dict() == {
        "check": "x",
        "status": "warn",
        "found": "64 MiB",
        "advice": "more",
    }
    assert at_least("x", 256 * MEBI, 256 * MEBI, "more").status is Status.OK


def test_available_memory(tmp_path: Path) -> None:
    """Memory is read from the kernel's file; without one nothing is claimed."""
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert available_memory(tmp_path / "meminfo") == 2 * MEBI
    assert available_memory(tmp_path / "none") is None
    (tmp_path / "other").write_text("MemTotal: 9 kB\n")
    assert available_memory(tmp_path / "other") is None


def test_records_can_be_made(tmp_path: Path) -> None:
    """The folder need not be there yet; looking does not make it."""
    folder = tmp_path / ".resilience"
    assert records(folder).found == "yes, will be made"
    assert not folder.exists()
    folder.mkdir()
    assert records(folder).found == "yes"


def test_records_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way fails, and the advice names the options."""
    (tmp_path / "file").write_text("")
    check = records(tmp_path / "file" / ".resilience")
    assert check.status is Status.FAIL
    assert "--resilience-db" in check.advice
