"""Where in an attempt a fault strikes: a phase, a fixture, or a WebDriver command.

Invariant: a `Point` is valid by construction, and ``Point.parse(str(point)) == point``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_resilience.exceptions import ConfigurationError

PHASES = ("setup", "call", "teardown")
#: Where a point may be, relative to a WebDriver command.
MOMENTS = ("before", "after", "during")
#: WebDriver commands by the names under which Selenium sends them, but for its prefix "w3c".
COMMANDS = (
    "acceptAlert",
    "actions",
    "addCookie",
    "clearElement",
    "clickElement",
    "close",
    "deleteAllCookies",
    "deleteCookie",
    "dismissAlert",
    "elementScreenshot",
    "executeCdpCommand",
    "executeScript",
    "executeScriptAsync",
    "findChildElement",
    "findChildElements",
    "findElement",
    "findElements",
    "fullscreenWindow",
    "get",
    "getActiveElement",
    "getAlertText",
    "getCookie",
    "getCookies",
    "getCurrentUrl",
    "getCurrentWindowHandle",
    "getElementProperty",
    "getElementRect",
    "getElementTagName",
    "getElementText",
    "getElementValueOfCssProperty",
    "getLog",
    "getPageSource",
    "getShadowRoot",
    "getTimeouts",
    "getTitle",
    "getWindowHandles",
    "getWindowRect",
    "goBack",
    "goForward",
    "isElementEnabled",
    "isElementSelected",
    "maximizeWindow",
    "minimizeWindow",
    "newSession",
    "newWindow",
    "printPage",
    "quit",
    "refresh",
    "screenshot",
    "sendKeysToElement",
    "setAlertValue",
    "setTimeouts",
    "setWindowRect",
    "switchToFrame",
    "switchToParentFrame",
    "switchToWindow",
    "uploadFile",
)
#: Methods of Selenium whose names differ by more than underscores from their commands.
_METHODS = {
    "back": "goBack",
    "clear": "clearElement",
    "click": "clickElement",
    "current_url": "getCurrentUrl",
    "current_window_handle": "getCurrentWindowHandle",
    "execute_async_script": "executeScriptAsync",
    "forward": "goForward",
    "page_source": "getPageSource",
    "send_keys": "sendKeysToElement",
    "text": "getElementText",
    "title": "getTitle",
    "window_handles": "getWindowHandles",
}


@dataclass(frozen=True, slots=True)
class Point:
    """Where in an attempt a fault strikes.

    Attributes:
        when: ``setup``, ``call``, ``teardown``, ``before``, ``after`` or ``during``.
        fixture: Name of the fixture in whose set-up or teardown it strikes, "" for the phase.
        number: Which WebDriver command of the attempt, counted from 1; 0 if named.
        command: Name of the command, the first of which in the attempt counts; "" if numbered.

    Raises:
        ConfigurationError: It is no point.
    """

    when: str = "call"
    fixture: str = ""
    number: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        if self.when not in (*PHASES, *MOMENTS):
            hint = nearest(self.when, (*PHASES, *MOMENTS))
            raise ConfigurationError(f"{self.when!r} is not a point; expected {VALID}.{hint}")
        fits = self._fits_command() if self.when in MOMENTS else self._fits_phase()
        if not fits:
            raise ConfigurationError(f"{str(self)!r} is not a point; expected {VALID}.")

    def _fits_command(self) -> bool:
        if bool(self.number) == bool(self.command) or self.number < 0 or self.fixture:
            return False
        if self.command:
            # Whatever way it is written, equal points shall be equal.
            object.__setattr__(self, "command", _command(self.command))
        return True

    def _fits_phase(self) -> bool:
        if self.number or self.command or self.fixture != self.fixture.strip():
            return False
        return not (self.fixture and self.when == "call")

    @classmethod
    def parse(cls, text: str) -> Point:
        """Return the point written as `text`; see `VALID`.

        Raises:
            ConfigurationError: It is none; the message names the valid ones.
        """
        when, colon, rest = text.strip().partition(":")
        if when in PHASES and not colon:
            return cls(when)
        if when in PHASES and rest:
            return cls(when, fixture=rest)
        if when in MOMENTS and re.fullmatch(r"[0-9]{1,9}", rest):
            return cls(when, number=int(rest))
        if when in MOMENTS and rest and not re.match(r"[\d+-]", rest):
            return cls(when, command=rest)
        hint = nearest(when, (*PHASES, *MOMENTS)) if when not in (*PHASES, *MOMENTS) else ""
        raise ConfigurationError(f"{text!r} is not a point; expected {VALID}.{hint}")

    def __str__(self) -> str:
        rest = self.fixture or self.command or (str(self.number) if self.number else "")
        return f"{self.when}:{rest}" if rest else self.when

    @property
    def is_command(self) -> bool:
        """Whether it lies at a WebDriver command."""
        return self.when in MOMENTS

    def is_phase(self, phase: str) -> bool:
        """Return whether it lies at the beginning of a phase, not in one of its fixtures."""
        return self.when == phase and not self.fixture

    def is_fixture(self, phase: str, name: str) -> bool:
        """Return whether it lies in the ``setup`` or ``teardown`` of a fixture."""
        return self.when == phase and self.fixture == name

    def meets(self, moment: str, number: int, command: str) -> bool:
        """Return whether it lies at a command.

        Args:
            moment: ``before``, ``after`` or ``during``.
            number: Number of the command in the attempt, from 1.
            command: Its name as Selenium sends it. The first one that is met counts.
        """
        if self.when != moment:
            return False
        return _plain(command) == _plain(self.command) if self.command else number == self.number


#: The ways to write a point.
VALID = (
    "setup, call, teardown, setup:FIXTURE, teardown:FIXTURE, or before:, after: or during: "
    "with the number or the name of a WebDriver command"
)


def nearest(name: str, valid: Sequence[str]) -> str:
    """Return " Did you mean 'x'?" for the valid name nearest to `name`, or ""."""
    close = difflib.get_close_matches(name, valid, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _plain(command: str) -> str:
    return command.lower().replace("_", "").removeprefix("w3c")


def _command(name: str) -> str:
    """Return a command as in `COMMANDS`; ConfigurationError names the nearest and valid ones."""
    wanted = _plain(_METHODS.get(name, name))
    for command in COMMANDS:
        if command.lower() == wanted:
            return command
    raise ConfigurationError(
        f"unknown WebDriver command {name!r}; valid ones: {', '.join(COMMANDS)}, or the "
        f"number of the command.{nearest(name, (*COMMANDS, *_METHODS))}"
    )
