"""What this machine has, and whether browsers can be tested on it.

Invariant: a check never raises and never changes the machine; what it cannot find out
is a warning, and every warning and failure says what to do.
"""

from __future__ import annotations

import enum
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

#: Browser family to the names its browser and its driver go by on the search path.
FAMILIES = {
    "chromium": (
        ("google-chrome", "google-chrome-stable", "chrome", "chromium", "chromium-browser"),
        ("chromedriver",),
    ),
    "firefox": (("firefox", "firefox-esr"), ("geckodriver",)),
    "edge": (("microsoft-edge", "microsoft-edge-stable"), ("msedgedriver",)),
}

MEBI = 1024 * 1024
#: Chromium keeps its pages' shared memory here; containers often have 64 MiB of it.
SHM_WANTED = 256 * MEBI
#: One browser holds some 300 to 600 descriptors over all of its processes.
FILES_WANTED = 1024
PROCESSES_WANTED = 1024
MEMORY_WANTED = 1024 * MEBI
DISK_WANTED = 1024 * MEBI
#: Seconds within which a program must have said its version.
VERSION_TIMEOUT = 20.0


class Status(str, enum.Enum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        found: What there is, "" if nothing.
        advice: What to do; "" only if all is well.
    """

    name: str
    status: Status
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the check as a plain dict."""
        return {
            "check": self.name,
            "status": self.status.value,
            "found": self.found,
            "advice": self.advice,
        }


def all_checks(directory: Path) -> list[Check]:
    """Return the findings about this machine.

    :param directory: Where tests are run; records go to ``.resilience`` in it.
    """
    return [
        Check("python", Status.OK, f"{platform.python_version()} ({sys.platform})"),
        *packages(_requirements()),
        *browsers(),
        *host(),
        records(directory / ".resilience"),
    ]


def _requirements() -> list[str] | None:
    try:
        return metadata.requires("pytest-resilience") or []
    except metadata.PackageNotFoundError:
        return None


def packages(requirements: Sequence[str] | None) -> Iterator[Check]:
    """Check the installed packages against `requirements`, None if those are unknown."""
    if requirements is None:
        yield Check(
            "pytest-resilience",
            Status.WARN,
            "not installed, run from its source",
            "pip install pytest-resilience, so that pytest finds the plugin",
        )
    for text in requirements or []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if not _of_tests(requirement):
            yield package(requirement)


def _of_tests(requirement: Requirement) -> bool:
    marker = str(requirement.marker or "")
    return "extra" in marker and not re.search(r"""["'](xdist|html)["']""", marker)


def package(requirement: Requirement) -> Check:
    """Check that what `requirement` asks for is installed."""
    optional = "extra" in str(requirement.marker or "")
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        status = Status.WARN if optional else Status.FAIL
        use = "optional: " if optional else ""
        return Check(requirement.name, status, "", f"{use}pip install '{_bare(requirement)}'")
    if requirement.specifier.contains(version, prereleases=True):
        return Check(requirement.name, Status.OK, version)
    return Check(
        requirement.name, Status.FAIL, version, f"pip install --upgrade '{_bare(requirement)}'"
    )


def _bare(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


@dataclass(frozen=True, slots=True)
class Program:
    """An executable on the search path.

    Attributes:
        path: Where it is, "" if there is none.
        said: What it answered to ``--version``, "" if nothing.
    """

    path: str = ""
    said: str = ""

    @property
    def version(self) -> str:
        """The version in its answer, "" if there is none."""
        match = re.search(r"\d+(?:\.\d+)+", self.said)
        return match.group() if match else ""

    @property
    def major(self) -> str:
        """The first number of its version."""
        return self.version.partition(".")[0]


def browsers(path: str | None = None) -> Iterator[Check]:
    """Check the browsers and drivers on the search path `path` (default: ``PATH``)."""
    with ThreadPoolExecutor() as pool:
        asked = {
            family: [pool.submit(find_program, names, path) for names in pair]
            for family, pair in FAMILIES.items()
        }
    found = {family: (pair[0].result(), pair[1].result()) for family, pair in asked.items()}
    for family, (browser, driver) in found.items():
        if browser.path or driver.path:
            yield judge_browser(family, browser)
            yield judge_driver(FAMILIES[family][1][0], browser, driver, paired=family != "firefox")
    if not any(browser.path for browser, _ in found.values()):
        yield Check(
            "browsers",
            Status.WARN,
            "",
            "install Chromium or Firefox here; not needed if a Selenium Grid is used or "
            "Selenium Manager may download one",
        )


def find_program(names: Sequence[str], path: str | None = None) -> Program:
    """Return the first program of `names` on the search path, with its version."""
    for name in names:
        where = shutil.which(name, path=path)
        if where:
            return Program(where, _ask_version(where))
    return Program()


def _ask_version(path: str) -> str:
    try:
        answer = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip().partition("\n")[0]


def judge_browser(family: str, browser: Program) -> Check:
    """Judge what was found of a browser."""
    if not browser.path:
        return Check(family, Status.WARN, "", f"a driver is here, but no {family}: install it")
    if not browser.version:
        return Check(
            family, Status.FAIL, browser.path, f"run {browser.path} --version: it does not answer"
        )
    return Check(family, Status.OK, f"{browser.version} at {browser.path}")


def judge_driver(name: str, browser: Program, driver: Program, *, paired: bool) -> Check:
    """Judge a driver; `paired` if it must have its browser's major version."""
    if not driver.path:
        return Check(
            name,
            Status.WARN,
            "",
            "Selenium Manager will download one; without network, install it on the PATH",
        )
    found = f"{driver.version or 'no version'} at {driver.path}"
    if not driver.version:
        return Check(name, Status.FAIL, found, f"run {driver.path} --version: it does not answer")
    if paired and browser.major and driver.major != browser.major:
        return Check(
            name,
            Status.FAIL,
            found,
            f"install version {browser.major}: this one cannot drive {browser.version}",
        )
    return Check(name, Status.OK, found)


def host() -> Iterator[Check]:
    """Check shared memory, limits, memory, disk and rights of this host."""
    shm = Path("/dev/shm")
    if shm.is_dir():
        yield at_least(
            "/dev/shm",
            shutil.disk_usage(shm).total,
            SHM_WANTED,
            "tabs will crash: docker run --shm-size=1g, or Chromium's --disable-dev-shm-usage",
        )
    yield from _limits()
    available = available_memory(Path("/proc/meminfo"))
    if available is not None:
        yield at_least(
            "memory available",
            available,
            MEMORY_WANTED,
            "browsers may be killed for lack of memory: run fewer at once",
        )
    temporary = tempfile.gettempdir()
    yield at_least(
        f"disk free in {temporary}",
        shutil.disk_usage(temporary).free,
        DISK_WANTED,
        "free space, or set TMPDIR to a larger disk: browser profiles are kept there",
    )
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield Check(
            "user",
            Status.WARN,
            "root",
            "Chromium starts as root only with --no-sandbox: run as another user, or add it",
        )


def at_least(name: str, found: int, wanted: int, advice: str) -> Check:
    """Judge an amount of bytes."""
    said = f"{found / MEBI:,.0f} MiB"
    return (
        Check(name, Status.OK, said) if found >= wanted else Check(name, Status.WARN, said, advice)
    )


def available_memory(meminfo: Path) -> int | None:
    """Return the bytes of memory that programs can still have, None if unknown."""
    try:
        match = re.search(r"MemAvailable:\s*(\d+) kB", meminfo.read_text())
    except OSError:
        return None
    return int(match.group(1)) * 1024 if match else None


def _limits() -> Iterator[Check]:
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    yield judge_limit(
        "open files (ulimit -n)", resource.getrlimit(resource.RLIMIT_NOFILE)[0], FILES_WANTED
    )
    yield judge_limit(
        "processes (ulimit -u)", resource.getrlimit(resource.RLIMIT_NPROC)[0], PROCESSES_WANTED
    )


def judge_limit(name: str, limit: int, wanted: int) -> Check:
    """Judge a limit of this process; negative is no limit."""
    if limit < 0:
        return Check(name, Status.OK, "unlimited")
    if limit >= wanted:
        return Check(name, Status.OK, f"{limit:,}")
    return Check(name, Status.WARN, f"{limit:,}", f"raise it to {wanted:,} or more")


def records(directory: Path) -> Check:
    """Check that records can be written to `directory`, or that it can be made."""
    name = f"writable {directory.name}"
    nearest = next((path for path in [directory, *directory.parents] if path.exists()), directory)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Check(
            name,
            Status.FAIL,
            f"{nearest}: {error.strerror or error}",
            "make it writable, or name another place with --resilience-db and --resilience-report",
        )
    return Check(name, Status.OK, "yes" if nearest == directory else "yes, will be made")
