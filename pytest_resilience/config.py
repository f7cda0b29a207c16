"""The settings and the one table of options behind CLI, environment, ini and docs.

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

RETRY_CHOICES = ("infrastructure", "ambiguous", "all")
POLICY_CHOICES = ("expected-cost", "weighted-score", "ladder")
TIMEOUT_RULE_CHOICES = ("quantile", "step")


@dataclass(frozen=True, slots=True)
class Option:
    """One option, in all the places where it can be set.

    Attributes:
        name: Field of `Settings`.
        flag: Command-line flag; its ini key and environment variable derive from `name`.
        kind: ``flag``, ``choice``, ``int``, ``seconds``, ``path`` or ``list``.
        default: Value when set nowhere.
        help: One sentence for ``pytest --help`` and the reference page.
        choices: Valid values of a ``choice``.
        minimum: Smallest valid number.
        maximum: Largest valid number, None for no limit.
        negative_flag: Flag that turns a ``flag`` off, or sets another option to None; in
            an ini file and in the environment, the word ``none`` does that.
        metavar: What stands for the value in the help.
    """

    name: str
    flag: str
    kind: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float | None = None
    negative_flag: str = ""
    metavar: str | None = None

    @property
    def can_be_none(self) -> bool:
        """Whether the option can be switched off instead of being set."""
        return bool(self.negative_flag) and self.kind != "flag"

    @property
    def ini(self) -> str:
        """Name of the ini key."""
        return "resilience" if self.name == "enabled" else f"resilience_{self.name}"

    @property
    def env(self) -> str:
        """Name of the environment variable."""
        return f"PYTEST_{self.ini.upper()}"

    @property
    def valid(self) -> str:
        """The valid values, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "flag":
            return "true or false"
        if self.kind == "list":
            return "http or https URLs, separated by commas"
        if self.kind == "path":
            return "a path to a file, or none" if self.can_be_none else "a path to a file"
        noun = "a whole number" if self.kind == "int" else "a number of seconds"
        if self.maximum is None:
            return f"{noun}, {self.minimum:g} or more"
        return f"{noun} from {self.minimum:g} to {self.maximum:g}"


OPTIONS: tuple[Option, ...] = (
    Option(
        "enabled",
        "--resilience",
        "flag",
        False,
        "Tell infrastructure failures from product failures, recover them and report both.",
    ),
    Option(
        "retry",
        "--resilience-retry",
        "choice",
        "infrastructure",
        "Which failures may be retried: infrastructure alone, also those nothing explains "
        "(ambiguous), or all.",
        choices=RETRY_CHOICES,
    ),
    Option(
        "max_attempts",
        "--resilience-max-attempts",
        "int",
        4,
        "Attempts per test, the first one included.",
        minimum=1,
        maximum=100,
        metavar="N",
    ),
    Option(
        "max_level",
        "--resilience-max-level",
        "int",
        5,
        "Highest recovery level allowed, from 1 (retry) to 5 (whole environment).",
        minimum=1,
        maximum=5,
        metavar="1..5",
    ),
    Option(
        "policy",
        "--resilience-policy",
        "choice",
        "expected-cost",
        "How a recovery is chosen: fewest expected seconds per cure, highest weighted score, "
        "or lowest level first.",
        choices=POLICY_CHOICES,
    ),
    Option(
        "timeout_rule",
        "--resilience-timeout-rule",
        "choice",
        "quantile",
        "How long a recovery may take: twice the 95th percentile of earlier ones, or a tenth "
        "less after each success and half as much again after each time-out (step).",
        choices=TIMEOUT_RULE_CHOICES,
    ),
    Option(
        "budget",
        "--resilience-budget",
        "seconds",
        None,
        "Seconds of recovery the whole run may spend before it stops recovering; "
        "no limit when not set.",
        minimum=0,
        metavar="SECONDS",
    ),
    Option(
        "hang_timeout",
        "--resilience-hang-timeout",
        "seconds",
        8.0,
        "Seconds a WebDriver command may take before it is looked after: it is ended if a "
        "process it needs is stopped, silent or gone, and left alone if it is merely slow. "
        "0 switches this off.",
        minimum=0,
        metavar="SECONDS",
    ),
    Option(
        "endpoints",
        "--resilience-endpoints",
        "list",
        None,
        "Selenium Grids that may stand in for each other: when one fails, new sessions for it "
        "are started at the next one that is ready.",
        metavar="URL[,URL...]",
    ),
    Option(
        "strict",
        "--resilience-strict",
        "flag",
        False,
        "Fail the run (exit status 1) if any test had to be recovered.",
    ),
    Option(
        "preflight",
        "--resilience-preflight",
        "flag",
        True,
        "Look, before a test, whether the browsers it shares with earlier tests still live, "
        "and replace dead ones.",
        negative_flag="--no-resilience-preflight",
    ),
    Option(
        "db",
        "--resilience-db",
        "path",
        Path(".resilience/history.duckdb"),
        "History database, shared by all runs.",
        negative_flag="--no-resilience-db",
        metavar="PATH",
    ),
    Option(
        "report",
        "--resilience-report",
        "path",
        Path(".resilience/report.html"),
        "Self-contained HTML report.",
        metavar="PATH",
    ),
    Option(
        "json",
        "--resilience-json",
        "path",
        None,
        "JSON summary; none is written when not set.",
        metavar="PATH",
    ),
)


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
    strict: bool = False
    preflight: bool = True
    db: Path | None = Path(".resilience/history.duckdb")
    report: Path = Path(".resilience/report.html")
    json: Path | None = None


@dataclass(frozen=True, slots=True)
class ItemPolicy:
    """What a marker may change for one test; the rest comes from `Settings`.

    Attributes:
        retry: As ``--resilience-retry``, or ``never`` for a test marked ``no_resilience``.
        strategies: Names of the recoveries it allows; empty for all.
    """

    retry: str
    max_attempts: int
    max_level: int
    strategies: tuple[str, ...] = ()

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
    return Settings(**values)


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
    "path": _path,
    "list": _urls,
}
