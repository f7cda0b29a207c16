"""Start the browser of the tests.

Invariant: every browser starts headless, with a fresh profile and the same window.
"""

from __future__ import annotations

import os
import shutil

from selenium import webdriver

ARGUMENTS = (
    "--headless=new",
    "--window-size=1280,900",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
)


def launch() -> webdriver.Chrome:
    """Return a driver with a new browser; what is not installed, Selenium Manager fetches."""
    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to start as root
    if binary := shutil.which("chromium") or shutil.which("google-chrome"):
        options.binary_location = binary
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)
