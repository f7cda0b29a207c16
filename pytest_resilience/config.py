"""The settings of a run, from wherever they were given.

Invariant: a `Settings` is valid by construction; every way to set an option goes
through `resolve`, which is pure and names the source of a bad value.
Precedence: command line > environment > ini file > default.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_resilience.exceptions import ConfigurationError
from pytest_resilience.options import OPTIONS, Option


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run; see `OPTIONS` for the meaning of each field."""

    enabled: bool = False
    retry: str = "infrastructure"
    max_attempts: int = 4
    max_level: int = 5
    policy: str = "expected-cost"
    timeout_rule: str = "quantile"
    budget: float | None = None
    hang_timeout: float = 8.0
    endpoints: tuple[str, ...] | None = None
    circuit_breaker: bool = True
    circuit_threshold: int = 5
    circuit_recovery_timeout: float = 60.0
    circuit_half_open_after: float = 2.0
    circuit_predictive: bool = False
    circuit_open_action: str = "defer"
    auto_tune: bool = False
    max_wait: float = 120.0
    max_browsers: int | None = None
    strict: bool = False
    resume: bool = False
    resume_changed: bool = False
    preflight: bool = True
    db: Path | None = Path(".resilience/history.duckdb")
    report: Path = Path(".resilience/report.html")
    json: Path | None = None
    inject_failure: tuple[str, ...] | None = None
    inject_rate: float = 0.0
    inject_seed: int = 0
    inject_learn: bool = False


@dataclass(frozen=True, slots=True)
class ItemPolicy:
    """What a marker may change for one test; the rest comes from `Settings`.

    Attributes:
        retry: As ``--resilience-retry``, or ``never`` for a test marked ``no_resilience``.
        strategies: Names of the recoveries it allows; empty for all.
        test_type: Name of the circuit it shares with others of its type; "" for none.
    """

    retry: str
    max_attempts: int
    max_level: int
    strategies: tuple[str, ...] = ()
    test_type: str = ""

    @classmethod
    def of(cls, settings: Settings) -> ItemPolicy:
        """Return the policy of a test without a marker."""
        return cls(settings.retry, settings.max_attempts, settings.max_level)


def resolve(
    cli: Mapping[str, Any],
    env: Mapping[str, str],
    ini: Mapping[str, Any],
    *,
    invocation_dir: Path,
    rootdir: Path,
) -> Settings:
    """Return the settings of a run.

    Args:
        cli: Option name to value as given on the command line; None where not given,
            False where a negative flag was.
        env: The environment.
        ini: Option name to value from the ini file; None where not given.
        invocation_dir: Relative paths of command line and environment start here.
        rootdir: Relative paths of the ini file, and default ones, start here.

    Raises:
        ConfigurationError: A value is not valid; the message names option, value and
            valid values.
    """
    values: dict[str, Any] = {}
    for option in OPTIONS:
        given = cli.get(option.name)
        if given is not None:
            base, source, raw = invocation_dir, option.flag, given
        elif option.env in env:
            base, source, raw = (
                invocation_dir,
                f"environment variable {option.env}",
                env[option.env],
            )
        elif ini.get(option.name) is not None:
            base, source, raw = rootdir, f"ini key {option.ini}", ini[option.name]
        else:
            base, source, raw = rootdir, option.flag, option.default
        values[option.name] = _parse(option, raw, source, base)
    _order_circuit_times(values, _given(cli, env, ini))
    return Settings(**values)


def _given(cli: Mapping[str, Any], env: Mapping[str, str], ini: Mapping[str, Any]) -> set[str]:
    sources = (cli, {o.name: env.get(o.env) for o in OPTIONS}, ini)
    return {name for source in sources for name, value in source.items() if value is not None}


def _order_circuit_times(values: dict[str, Any], given: set[str]) -> None:
    """Let no circuit be probed later than it opens by itself."""
    earliest, latest = values["circuit_half_open_after"], values["circuit_recovery_timeout"]
    if earliest <= latest:
        return
    if "circuit_half_open_after" in given:
        raise ConfigurationError(
            f"--circuit-breaker-half-open-after: {earliest:g} is not valid; expected a number of "
            f"seconds from 0.1 to {latest:g}, which is --circuit-breaker-recovery-timeout."
        )
    values["circuit_half_open_after"] = latest


def check(option_name: str, raw: Any, source: str) -> Any:
    """Return `raw` as a valid value of the option called `option_name`.

    Raises:
        ConfigurationError: It is not one.
    """
    option = next(option for option in OPTIONS if option.name == option_name)
    if raw is None:
        raise ConfigurationError(f"{source}: None is not valid; expected {option.valid}.")
    return _parse(option, raw, source, Path())


def nearest(name: str, valid: Sequence[str]) -> str:
    """Return " Did you mean 'x'?" for the valid name nearest to `name`, or ""."""
    close = difflib.get_close_matches(name, valid, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _parse(option: Option, raw: Any, source: str, base: Path) -> Any:
    if raw is None or (option.can_be_none and _switched_off(raw)):
        return None
    parser: Callable[[Option, Any], Any] = _PARSERS[option.kind]
    try:
        value = parser(option, raw)
    except (ValueError, TypeError):
        hint = nearest(str(raw), option.choices)
        raise ConfigurationError(
            f"{source}: {raw!r} is not valid; expected {option.valid}.{hint}"
        ) from None
    return base / value if isinstance(value, Path) else value


def _switched_off(raw: Any) -> bool:
    return raw is False or (isinstance(raw, str) and raw.strip().lower() in ("none", "off"))


def _flag(_option: Option, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(raw)


def _choice(option: Option, raw: Any) -> str:
    word = str(raw).strip().lower()
    if word not in option.choices:
        raise ValueError(raw)
    return word


def _number(option: Option, raw: Any) -> float:
    if isinstance(raw, bool):
        raise ValueError(raw)
    number = float(raw)
    too_large = option.maximum is not None and number > option.maximum
    # The comparison is written so that NaN fails it.
    if not number >= option.minimum or too_large or number == float("inf"):
        raise ValueError(raw)
    return number


def _int(option: Option, raw: Any) -> int:
    number = _number(option, raw)
    if number != int(number):
        raise ValueError(raw)
    return int(number)


def _urls(_option: Option, raw: Any) -> tuple[str, ...]:
    given = raw.split(",") if isinstance(raw, str) else raw
    urls = tuple(url for text in given if (url := str(text).strip()))
    if not urls or not all(map(_is_url, urls)):
        raise ValueError(raw)
    return urls


def _specs(_option: Option, raw: Any) -> tuple[str, ...]:
    # What each of them says is checked by who knows the failures there are.
    given = [raw] if isinstance(raw, str) else raw
    specs = tuple(s for text in given for word in re.split(r"[,\n]", text) if (s := word.strip()))
    if not specs:
        raise ValueError(raw)
    return specs


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    # A port that is none is told by the attempt to read it.
    named = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", text)
    return named and parts.scheme in ("http", "https")


def _path(_option: Option, raw: Any) -> Path:
    if not str(raw).strip():
        raise ValueError(raw)
    return Path(raw)


_PARSERS: dict[str, Callable[[Option, Any], Any]] = {
    "flag": _flag,
    "choice": _choice,
    "int": _int,
    "seconds": _number,
    "share": _number,
    "faults": _specs,
    "path": _path,
    "list": _urls,
}
