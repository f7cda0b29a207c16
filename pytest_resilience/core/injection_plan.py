"""Which faults strike which attempt: what was asked for, and the seeded plan.

Invariant: a plan is a function of seed, node id, attempt and what was asked for. Nothing
else is looked at: no clock, no order of tests, no worker, no other test's plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_resilience.core.injection import (
    CATALOGUE,
    FailureType,
    Fault,
    Intensity,
    Need,
    Platform,
    faults,
    find,
    offers,
    spelled,
)
from pytest_resilience.core.injection_points import MOMENTS, VALID, Point, nearest
from pytest_resilience.exceptions import ConfigurationError

_Member = TypeVar("_Member", FailureType, Intensity)
_Option = TypeVar("_Option", str, int)
#: Arguments of the marker ``inject_failure``, in order.
ARGUMENTS = (
    "type",
    "intensity",
    "at",
    "times",
    "probability",
    "after_commands",
    "command",
    "simulated",
)


_CALL = Point("call")


@dataclass(frozen=True, slots=True)
class Injection:
    """A failure to be injected, as somebody asked for it.

    Attributes:
        point: Where in the attempt it strikes.
        times: Attempts of an item in which it strikes, counted from the first.
        probability: Chance, from 0 to 1, with which it strikes such an attempt.
        simulated: Whether the exception is raised without the fault behind it.
        source: Who asked for it, such as ``marker`` or ``--inject-failure``.

    Raises:
        ConfigurationError: A value is out of range, or no fault of this type and intensity can
            be simulated, or strike at this point, on any platform.
    """

    type: FailureType
    intensity: Intensity = Intensity.MODERATE
    point: Point = _CALL
    times: int = 1
    probability: float = 1.0
    simulated: bool = False
    source: str = "marker"

    def __post_init__(self) -> None:
        _check_times(self.times)
        _check_probability(self.probability)
        if not any(map(self._fits, _alike(self.type, self.intensity))):
            how = "be simulated" if self.simulated else "strike during a command"
            raise ConfigurationError(
                f"{self.type.value}:{self.intensity.value} cannot {how}; what can: "
                f"{spelled(filter(self._fits, CATALOGUE))}."
            )

    def _fits(self, fault: Fault) -> bool:
        if self.simulated:
            return fault.simulation is not None
        return fault.during or self.point.when != "during"

    def __str__(self) -> str:
        """As the option writes it: ``crash:severe@before:3``."""
        return f"{self.type.value}:{self.intensity.value}@{self.point}"

    @classmethod
    def from_arguments(
        cls, args: Sequence[Any], kwargs: Mapping[str, Any], *, source: str = "marker"
    ) -> Injection:
        """Return the injection of a marker ``inject_failure(*args, **kwargs)``.

        Raises:
            ConfigurationError: An argument is wrong; the message names the valid ones.
        """
        given = _bound(args, kwargs)
        simulated = given.get("simulated", False)
        if not isinstance(simulated, bool):
            raise ConfigurationError(
                f"simulated={simulated!r} is not valid; expected True or False."
            )
        return cls(
            _member(FailureType, given["type"], "type"),
            _member(Intensity, given.get("intensity", Intensity.MODERATE), "intensity"),
            _point(given),
            given.get("times", 1),
            given.get("probability", 1.0),
            simulated,
            source,
        )

    @classmethod
    def parse(cls, text: str, *, source: str = "--inject-failure") -> Injection:
        """Return the injection written as ``TYPE[:INTENSITY][@POINT]``.

        Raises:
            ConfigurationError: `text` is none; the message begins with `source`.
        """
        spec, at, point = text.strip().partition("@")
        kind, colon, intensity = spec.partition(":")
        try:
            return cls(
                _member(FailureType, kind, "type"),
                _member(Intensity, intensity, "intensity") if colon else Intensity.MODERATE,
                Point.parse(point) if at else _CALL,
                source=source,
            )
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{source}: {text!r} is not valid: {error.message} Write it as "
                "TYPE[:INTENSITY][@POINT], such as crash:severe@before:3."
            ) from None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What it may mean, on one platform or another."""
        return tuple(f for f in _alike(self.type, self.intensity) if self._fits(f))

    def require(self, having: Collection[Need]) -> None:
        """Check that what it needs is there, as far as that does not depend on the browser.

        Args:
            having: Needs that are met, or cannot be known to be.

        Raises:
            ConfigurationError: It is not; the message names what is possible.
        """
        met = {Need.NOTHING, *having}
        if self.simulated or any(fault.need in met for fault in self.faults):
            return
        raise ConfigurationError(
            f"{self} needs {self.faults[0].need.value}; possible without: "
            f"{spelled(fault for fault in CATALOGUE if fault.need in met)}."
        )

    def fault(self, platform: Platform, having: Collection[Need] | None = None) -> Fault:
        """Return what is to be done in a session on `platform`.

        Args:
            having: Needs that are met; not looked at if None.

        Raises:
            ConfigurationError: It is not possible there; the message names what is.
        """
        if self.simulated:
            # No browser is needed for an exception.
            fitting = [f for f in _alike(self.type, self.intensity) if self._fits(f)]
            return next((f for f in fitting if f.platforms & platform), fitting[0])
        fault = find(self.type, self.intensity, platform)
        if not self._fits(fault):
            raise ConfigurationError(
                f"{self}: on {platform.label} it cannot strike during a command, only before "
                f"or after one; what can: {spelled(filter(self._fits, faults(platform)))}."
            )
        if having is not None and fault.need not in (Need.NOTHING, *having):
            raise ConfigurationError(
                f"{self} needs {fault.need.value}; possible without: "
                f"{spelled(offers(platform, having))}."
            )
        return fault


def planned(
    seed: int,
    nodeid: str,
    attempt: int,
    injections: Sequence[Injection] = (),
    rate: float = 0.0,
    *,
    choices: Sequence[Fault] | None = None,
) -> tuple[Injection, ...]:
    """Return what strikes an attempt of an item.

    Args:
        seed: Another seed makes another plan.
        attempt: Number of the attempt, from 1.
        injections: What was asked for; each is drawn by its own probability.
        rate: Chance, from 0 to 1, that something else strikes an item's first attempt, in
            its call. It is not drawn for where something of `injections` strikes: two faults
            at once would tell nothing.
        choices: What it may be, `RANDOM` by default.
    """
    struck: list[Injection] = []
    names: list[str] = []
    for injection in injections:
        names.append(str(injection))
        # Twins are told apart; all others do not depend on the order in which they are asked for.
        drawn = fraction(seed, nodeid, attempt, names[-1], names.count(names[-1]))
        if attempt <= injection.times and drawn < injection.probability:
            struck.append(injection)
    if not struck and attempt == 1 and fraction(seed, nodeid, attempt, "rate") < rate:
        chosen = choose(RANDOM if choices is None else choices, seed, nodeid, attempt)
        struck.append(Injection(chosen.type, chosen.intensity, source="--inject-rate"))
    return tuple(struck)


def choose(choices: Sequence[Fault], *key: object) -> Fault:
    """Return one of `choices`, by `key` alone; types are equally likely, then intensities.

    Raises:
        ValueError: There are no choices.
    """
    if not choices:
        raise ValueError("no failure to choose from")
    kind = _drawn(sorted({f.type.value for f in choices}), "type", *key)
    alike = [f for f in choices if f.type.value == kind]
    rank = _drawn(sorted({f.intensity.rank for f in alike}), "intensity", *key)
    return next(f for f in alike if f.intensity.rank == rank)


def fraction(*key: object) -> float:
    """Return a number from 0 up to but not 1 that depends on strings and numbers alone."""
    # Plain ASCII: what `repr` leaves unescaped differs between versions of Python.
    digest = hashlib.sha256(ascii(key).encode("ascii")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _drawn(options: Sequence[_Option], *key: object) -> _Option:
    return options[int(fraction(*key) * len(options))]


#: What a rate chooses from: what is possible with every browser on this machine, so that a plan
#: does not depend on the browser, and what a run with ``--resilience`` gets over.
RANDOM = tuple(
    fault for fault in offers(Platform.CHROMIUM | Platform.FIREFOX) if fault.outcome != "lost"
)


def _alike(kind: FailureType, intensity: Intensity) -> tuple[Fault, ...]:
    return tuple(f for f in CATALOGUE if (f.type, f.intensity) == (kind, intensity))


def _bound(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a marker by name."""
    valid = ", ".join(ARGUMENTS)
    if len(args) > len(ARGUMENTS):
        raise ConfigurationError(f"{len(args)} arguments are too many; there are: {valid}.")
    given = dict(zip(ARGUMENTS, args, strict=False))
    for name, value in kwargs.items():
        if name not in ARGUMENTS:
            hint = nearest(name, ARGUMENTS)
            raise ConfigurationError(f"no argument {name!r}; valid ones: {valid}.{hint}")
        if name in given:
            raise ConfigurationError(f"argument {name!r} is given twice.")
        given[name] = value
    if "type" not in given:
        raise ConfigurationError(f"no type is given; expected one of {_valid(FailureType)}.")
    return given


def _valid(kind: type[FailureType] | type[Intensity]) -> str:
    return ", ".join(member.value for member in kind)


def _member(kind: type[_Member], raw: object, what: str) -> _Member:
    word = raw.strip().lower() if isinstance(raw, str) else raw
    for member in kind:
        if word == member.value:
            return member
    hint = nearest(str(word), [member.value for member in kind])
    raise ConfigurationError(f"unknown {what} {raw!r}; valid ones: {_valid(kind)}.{hint}")


def _point(given: Mapping[str, Any]) -> Point:
    """Return the point that the arguments `at`, `after_commands` and `command` tell."""
    at, number, command = (given.get(name) for name in ("at", "after_commands", "command"))
    if number is not None and command is not None:
        raise ConfigurationError("after_commands and command exclude each other.")
    if number is not None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigurationError(
                f"after_commands={number!r} is not valid; expected a whole number, 1 or more."
            )
        return _beside(at, "after_commands", ("after",), Point("after", number=number))
    if command is not None:
        if not isinstance(command, str) or not command:
            raise ConfigurationError(f"command={command!r} is not valid; expected a name.")
        moment = at if at in MOMENTS else "before"
        return _beside(at, "command", MOMENTS, Point(moment, command=command))
    if at is None:
        return _CALL
    if not isinstance(at, str):
        raise ConfigurationError(f"at={at!r} is not valid; expected {VALID}.")
    return Point.parse(at)


def _beside(at: object, name: str, moments: Sequence[str], point: Point) -> Point:
    """Return `point`, unless `at` says otherwise; its default says nothing."""
    if at in (None, "call", *moments):
        return point
    raise ConfigurationError(
        f"at={at!r} and {name} exclude each other; beside {name}, at is {' or '.join(moments)}."
    )


def _check_times(times: object) -> None:
    if isinstance(times, bool) or not isinstance(times, int) or times < 1:
        raise ConfigurationError(
            f"times={times!r} is not valid; expected a whole number, 1 or more."
        )


def _check_probability(probability: Any) -> None:
    number = isinstance(probability, int | float) and not isinstance(probability, bool)
    if not number or not 0 <= probability <= 1:
        raise ConfigurationError(f"probability={probability!r} is not valid; expected 0 to 1.")
