"""One exception of a chain, prepared for being compared with rules.

Invariant: the text of an assertion or of a page is marked as such, and what no driver has raised
keeps nothing that only a driver could mean.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pytest_resilience.core.failures import ExceptionFact

# A signature stands at the beginning of a message; page sources and logs follow it.
_TEXT_LIMIT = 4_000
_APPENDIX = re.compile(
    r"\n\s*(?:stacktrace:|build info:|host info:|call log:|=+ logs =+)"
    r"|; for documentation on this error"
    # Firefox quotes the address in that of its error page.
    r"|&u=http",
    re.IGNORECASE,
)
_BUILTIN_EXCEPTIONS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)

#: Exceptions with which a test says that the product is not as expected.
ASSERTIONS = ("AssertionError", "Failed")

#: Exceptions whose messages quote the page or the test, whatever words those use.
_QUOTING = (
    *ASSERTIONS,
    "OutcomeException",
    "JavascriptException",
    "JavascriptError",
    "UnexpectedAlertPresentException",
    "UnexpectedAlertOpenError",
    "UnhandledAlertException",
    "NoSuchElementException",
    "NoSuchElementError",
    "NoSuchFrameException",
    "NoSuchFrameError",
    "ElementClickInterceptedException",
    "ElementClickInterceptedError",
    "ElementNotInteractableException",
    "ElementNotInteractableError",
    "InvalidElementStateException",
    "StaleElementReferenceException",
    "StaleElementReferenceError",
    "InvalidArgumentException",
    "InvalidArgumentError",
    "InvalidSelectorException",
    "InvalidSelectorError",
    "UnexpectedTagNameException",
    "TimeoutException",
)

#: Names that say something only where a driver, or the way to it, has raised them.
_STACK_ONLY = frozenset(
    {
        "BrowserLimitError",
        "CircuitOpenError",
        "CommandHung",
        "InvalidSessionIdError",
        "InvalidSessionIdException",
        "NoSuchSessionError",
        "NoSuchSessionException",
        "ScreenshotException",
        "SessionNotCreatedError",
        "SessionNotCreatedException",
        "TargetClosedError",
        "UnknownError",
        "WebDriverError",
        "WebDriverException",
    }
)
#: Packages of Python whose exceptions are kinds of built-in ones, and mean what those mean.
_PYTHONS = frozenset(
    {"asyncio", "builtins", "concurrent", "io", "os", "select", "shutil", "socket", "ssl"}
)
_STACK_PACKAGES = ("urllib3.", "http.client.")

#: In what a driver says of a script of the page that threw; the words after it are the script's.
THREW = "threw exception"
_WAIT = ("support/wait.py:until", "support/wait.py:until_not")


@dataclass(frozen=True, slots=True)
class Statement:
    """One exception of a chain, prepared for matching.

    Attributes:
        names: Its classes along the MRO, qualified and unqualified, and their packages, each
            written as a rule would ask for it: ``package.*``.
        text: The beginning of its message, without stack traces and version notes.
        origin: ``file:function`` that raised it, "" if unknown.
        quoting: True if the message may quote the page or the test, so that only a rule
            that names the type may search it.
        foreign: True if it came out of no command of a driver. A rule of ours believes neither
            its words nor those of its names that only a driver can mean; a rule of the user's does.
        own: Qualified name of its class, "" if unknown.
        shadowed: True if it stands beside an assertion without being its stated cause, so
            that only a strong signature in it counts.
    """

    names: frozenset[str]
    text: str
    origin: str
    quoting: bool
    shadowed: bool
    own: str = ""
    foreign: bool = False

    def believed(self) -> Statement:
        """Return what of it counts for those who believe nobody but a driver."""
        if not self.foreign:
            return self
        wire = {name for name in self.names if name.startswith(_STACK_PACKAGES)}
        short = {name.rpartition(".")[2] for name in wire} - {"*"}
        named = {name for name in self.names if name.rpartition(".")[2] in _STACK_ONLY}
        # A suite's own kind of a built-in exception says what the suite wants to say.
        if self.own.partition(".")[0] not in _PYTHONS | _BUILTIN_EXCEPTIONS:
            named |= {name for name in self.names if name.startswith("builtins.")}
        return replace(self, names=self.names - wire - short - named, quoting=True)

    def is_a(self, types: Iterable[str]) -> bool:
        """Return whether one of `types` names this exception or one of its bases."""
        return not self.names.isdisjoint(types)


def signature_text(message: Any) -> str:
    """Return the beginning of `message` without prefix, stack traces and version notes."""
    text = message[:_TEXT_LIMIT] if isinstance(message, str) else str(message)[:_TEXT_LIMIT]
    text = text.removeprefix("Message:").strip()
    appendix = _APPENDIX.search(text)
    return text[: appendix.start()] if appendix else text


def statements(facts: tuple[ExceptionFact, ...]) -> tuple[Statement, ...]:
    """Return what `facts`, a chain from the outermost on, say: nothing outside an assertion."""
    names = [_names(fact) for fact in facts]
    asserted = [not seen.isdisjoint(ASSERTIONS) for seen in names]
    # What went wrong after an assertion had failed, while a screenshot was made or a browser was
    # left, explains nothing: the test had failed already.
    start = asserted.index(True) if True in asserted else 0
    facts, names = facts[start:], names[start:]
    return tuple(map(_statement, facts, names, _shadows(facts, asserted[start:])))


def _shadows(facts: tuple[ExceptionFact, ...], asserted: list[bool]) -> list[bool]:
    """Tell of each fact whether an assertion overshadows it.

    Below an assertion stands what it was raised from (its cause, which counts) or what
    was being handled then (its context, which hardly does).
    """
    shadows, link = [], ""
    for fact, is_assertion in zip(facts, asserted, strict=True):
        if is_assertion:
            shadows.append(False)
            link = "assertion"
            continue
        if link == "assertion":
            link = str(fact.relation)
        shadows.append(link not in ("", "cause"))
    return shadows


def _statement(fact: ExceptionFact, names: frozenset[str], shadowed: bool) -> Statement:
    own = str(fact.mro[0]) if fact.mro else ""
    quoting = own.rpartition(".")[2] in _BUILTIN_EXCEPTIONS and own.rpartition(".")[0] in (
        "",
        "builtins",
    )
    # The message of a wait is the test's own.
    text = "" if str(fact.origin).endswith(_WAIT) else signature_text(fact.message)
    return Statement(
        names=names,
        text=text,
        origin=str(fact.origin),
        quoting=quoting or not names.isdisjoint(_QUOTING) or THREW in text,
        shadowed=shadowed,
        own=own,
        foreign=fact.of_driver is False,
    )


def _names(fact: ExceptionFact) -> frozenset[str]:
    qualified = [str(name) for name in fact.mro]
    short = [name.rpartition(".")[2] for name in qualified]
    plain = [f"builtins.{name}" for name in qualified if name in _BUILTIN_EXCEPTIONS]
    packages = [f"{name[:end]}.*" for name in qualified for end in _dots(name)]
    return frozenset([*qualified, *short, *plain, *packages])


def _dots(name: str) -> list[int]:
    return [position for position, letter in enumerate(name) if letter == "."]
