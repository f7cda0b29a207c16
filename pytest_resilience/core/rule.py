"""What a classification rule is, and when it matches a failure.

Invariant: a rule is data, and matching reads nothing but the failure and the evidence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, ExceptionFact, Failure
from pytest_resilience.core.statement import Statement, statements

_CHAIN_LIMIT = 100
#: Bases of quoting exceptions; to name one of these is not to name what quotes.
_GENERIC = frozenset(
    {"Exception", "BaseException", "Error", "WebDriverException", "WebDriverError", "object"}
)

_NEW_SESSION_COMMANDS = frozenset(
    {"newsession", "createsession", "launch", "launchpersistentcontext"}
)
_NEW_SESSION_TYPES = (
    "SessionNotCreatedException",
    "SessionNotCreatedError",
    "NoSuchDriverException",
)
_NEW_SESSION_TEXT = re.compile(
    r"session not created|could not (?:start a new|create a) session|browser_?type\.launch",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A failure and its evidence, prepared once for all rules."""

    statements: tuple[Statement, ...]
    believed: tuple[Statement, ...]
    names: frozenset[str]
    evidence: Evidence
    phase: str = ""
    command: str = ""
    remote: bool = False
    starting: bool = False

    @classmethod
    def of(cls, failure: Failure, chain: Iterable[ExceptionFact], evidence: Evidence) -> Case:
        """Prepare the part `chain` of `failure`; copes with values of wrong types."""
        command = normal_command(failure.command)
        said = statements(tuple(chain)[:_CHAIN_LIMIT])
        believed = tuple(statement.believed() for statement in said)
        return cls(
            statements=said,
            believed=believed,
            names=frozenset().union(*(statement.names for statement in said)),
            evidence=evidence,
            phase=str(failure.phase),
            command=command,
            remote=bool(failure.remote),
            starting=command in _NEW_SESSION_COMMANDS or any(map(_starts, believed)),
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table that diagnoses failures. All conditions given must hold.

    Attributes:
        name: Unique; it appears in every report of a failure the rule decided.
        error_type: What the failure is then.
        confidence: 0 to 1, how often the rule is right.
        severity: None for the usual one of the error type.
        recovery: Name of the cheapest strategy that can help; "" for the usual one.
        types: Class names, matched along the MRO of an exception: unqualified
            (``TimeoutException``), qualified, or ``package.*``.
        absent: Class names none of which may occur anywhere in the chain.
        message: Regular expression searched, case-insensitively, in the message of that
            same exception.
        without: Regular expression that must not be found in it.
        origin: End of that exception's origin, such as ``support/wait.py:until``.
        part: ``any`` exception of the chain, or only the ``outermost``.
        phases: ``setup``, ``call``, ``teardown``; empty for all.
        commands: WebDriver commands as `normal_command` writes them; empty for all.
        evidence: Probe to the answers one of which it must have given.
        unless: Probe to answers that rule the rule out.
        details: Probe to a regular expression its detail must contain.
        remote: Whether the endpoint must (or must not) be a grid; None for either.
        starting: Whether a session must (or must not) be in the making; None for either.
        strong: True if the signature can come from a broken infrastructure alone, so that
            it counts even where it merely stands beside an assertion.
        transient: True if another attempt may pass although this is not infrastructure: an
            application that was there before and is gone now.

    Raises:
        ValueError: A regular expression or a confidence is invalid.
    """

    name: str
    error_type: ErrorType
    confidence: float = 0.8
    severity: ErrorSeverity | None = None
    recovery: str = ""
    types: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    message: str = ""
    without: str = ""
    origin: str = ""
    part: str = "any"
    phases: Collection[str] = ()
    commands: Collection[str] = ()
    evidence: Mapping[str, Collection[str]] = field(default_factory=dict)
    unless: Mapping[str, Collection[str]] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    remote: bool | None = None
    starting: bool | None = None
    strong: bool = False
    transient: bool = False

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ValueError if a regular expression or the confidence is invalid."""
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"rule {self.name!r}: confidence {self.confidence} is not in 0..1")
        if self.part not in ("any", "outermost"):
            raise ValueError(f"rule {self.name!r}: part {self.part!r} is not any or outermost")
        try:
            for source in (self.message, self.without, *self.details.values()):
                _pattern(source)
        except re.error as error:
            raise ValueError(f"rule {self.name!r}: bad regular expression: {error}") from error

    def matches(self, case: Case) -> bool:
        """Return whether all conditions hold for `case`."""
        # Most rules name types that do not occur at all, which is the cheapest to see.
        if self.types and case.names.isdisjoint(self.types):
            return False
        return self._circumstances(case) and self._answers(case.evidence) and self._chain(case)

    def _circumstances(self, case: Case) -> bool:
        return (
            (not self.phases or case.phase in self.phases)
            and (not self.commands or case.command in self.commands)
            and self.remote in (None, case.remote)
            and self.starting in (None, case.starting)
        )

    def _answers(self, evidence: Evidence) -> bool:
        for probe, wanted in self.evidence.items():
            if evidence.answer(probe) not in wanted:
                return False
        for probe, unwanted in self.unless.items():
            if evidence.answer(probe) in unwanted:
                return False
        return all(_pattern(d).search(str(evidence.detail(p))) for p, d in self.details.items())

    def _chain(self, case: Case) -> bool:
        if not case.names.isdisjoint(self.absent):
            return False
        if not (self.types or self.message or self.without or self.origin):
            return True
        statements = self._heard(case)
        return any(map(self._said, statements[:1] if self.part == "outermost" else statements))

    def _heard(self, case: Case) -> tuple[Statement, ...]:
        """Return what of `case` this rule listens to: all of it, as its author knows the suite."""
        return case.statements

    def _said(self, statement: Statement) -> bool:
        if statement.shadowed and not self.strong:
            return False
        if self.types and not statement.is_a(self.types):
            return False
        if self.message and statement.quoting and not statement.is_a(self._specific_types()):
            return False
        text = statement.text
        return (
            (not self.message or _pattern(self.message).search(text) is not None)
            and (not self.without or _pattern(self.without).search(text) is None)
            and statement.origin.endswith(self.origin)
        )

    def _specific_types(self) -> tuple[str, ...]:
        return tuple(name for name in self.types if name.rpartition(".")[2] not in _GENERIC)


@dataclass(frozen=True, slots=True)
class BuiltinRule(Rule):
    """A rule of our own, which our tests check instead of every start of every suite.

    Attributes:
        of_driver: Whether it hears nothing at all but what came out of a command of a driver.
    """

    of_driver: bool = False

    def __post_init__(self) -> None:
        """Compile nothing: most suites end without a failure to compare with."""

    def _heard(self, case: Case) -> tuple[Statement, ...]:
        return tuple(s for s in case.believed if not (self.of_driver and s.foreign))


@functools.cache
def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE)


def normal_command(command: Any) -> str:
    """Return a command's name without case, separators, arguments and W3C prefix."""
    name = str(command or "").split("(")[0].lower()
    return re.sub(r"[^a-z0-9]", "", name[:80]).removeprefix("w3c")


def _starts(statement: Statement) -> bool:
    if statement.is_a(_NEW_SESSION_TYPES):
        return True
    return not statement.quoting and _NEW_SESSION_TEXT.search(statement.text) is not None
