"""The one table of options behind CLI, environment, ini and docs.

Invariant: an option is described here once; its ini key and environment variable derive
from its name, and what is valid is told in the words in which a bad value is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

RETRY_CHOICES = ("infrastructure", "ambiguous", "all")
POLICY_CHOICES = ("expected-cost", "weighted-score", "ladder")
TIMEOUT_RULE_CHOICES = ("quantile", "step")
OPEN_ACTIONS = ("defer", "block", "skip")


@dataclass(frozen=True, slots=True)
class Option:
    """One option, in all the places where it can be set.

    Attributes:
        name: Field of `Settings`.
        flag: Command-line flag; its ini key and environment variable derive from `name`.
        kind: ``flag``, ``choice``, ``int``, ``seconds``, ``share``, ``path``, ``list`` or
            ``faults``; the last may be given several times.
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
        if self.kind == "faults":
            return "TYPE[:INTENSITY][@POINT], several separated by commas"
        noun = _NOUNS[self.kind]
        if self.maximum is None:
            return f"{noun}, {self.minimum:g} or more"
        return f"{noun} from {self.minimum:g} to {self.maximum:g}"


_NOUNS = {"int": "a whole number", "seconds": "a number of seconds", "share": "a number"}

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
        "circuit_breaker",
        "--circuit-breaker",
        "flag",
        True,
        "Notice that a browser or a grid is down, and keep tests that need it from running "
        "into it.",
        negative_flag="--no-circuit-breaker",
    ),
    Option(
        "circuit_threshold",
        "--circuit-breaker-threshold",
        "int",
        5,
        "Failures in a row after which a circuit opens.",
        minimum=1,
        maximum=1000,
        metavar="N",
    ),
    Option(
        "circuit_recovery_timeout",
        "--circuit-breaker-recovery-timeout",
        "seconds",
        60.0,
        "Seconds after which an open circuit lets a test try at the latest; the longest pause "
        "between two probes.",
        minimum=0.1,
        maximum=86400,
        metavar="SECONDS",
    ),
    Option(
        "circuit_half_open_after",
        "--circuit-breaker-half-open-after",
        "seconds",
        2.0,
        "Seconds after which what an open circuit stands for is probed first; the pause doubles "
        "with every probe that fails.",
        minimum=0.1,
        maximum=86400,
        metavar="SECONDS",
    ),
    Option(
        "circuit_predictive",
        "--circuit-breaker-predictive",
        "flag",
        False,
        "Open a circuit on the trend already, while waits and failures rise.",
    ),
    Option(
        "circuit_open_action",
        "--circuit-open-action",
        "choice",
        "defer",
        "What becomes of a test whose circuit is open: it runs after the others and waits for "
        "the circuit to close (defer), or is told as blocked, or as skipped, at once.",
        choices=OPEN_ACTIONS,
    ),
    Option(
        "auto_tune",
        "--resilience-auto-tune",
        "flag",
        False,
        "Let the history say, as the run begins, after how many failures circuits open and when "
        "they are probed first: what `pytest-resilience tune` proposes.",
    ),
    Option(
        "max_wait",
        "--resilience-max-wait",
        "seconds",
        120.0,
        "Seconds the run waits, in all, for one circuit to close; tests that need it are "
        "blocked from then on. Also the seconds a test waits for its turn to start a browser.",
        minimum=0,
        maximum=86400,
        metavar="SECONDS",
    ),
    Option(
        "max_browsers",
        "--resilience-max-browsers",
        "int",
        None,
        "Browsers that tests may use at once, all workers and all sessions on this machine that "
        "set this taken together; no limit when not set, until resources run short.",
        minimum=1,
        maximum=1000,
        metavar="N",
    ),
    Option(
        "strict",
        "--resilience-strict",
        "flag",
        False,
        "Fail the run (exit status 1) if any test had to be recovered.",
    ),
    Option(
        "resume",
        "--resilience-resume",
        "flag",
        False,
        "Go on where a killed run was broken off: keep its verdicts, and run the tests that have "
        "none.",
    ),
    Option(
        "resume_changed",
        "--resilience-resume-changed",
        "flag",
        False,
        "Resume a run although other tests are collected now: keep the verdicts of those that are "
        "still there, and run the others.",
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
    Option(
        "inject_failure",
        "--inject-failure",
        "faults",
        None,
        "Break something on purpose in every test: a type of failure, how much it hurts, and "
        "where it strikes. May be given several times; works without --resilience, too.",
        metavar="TYPE[:INTENSITY][@POINT]",
    ),
    Option(
        "inject_rate",
        "--inject-rate",
        "share",
        0.0,
        "Share of the tests in which something is broken, chosen by --inject-seed. With "
        "--collect-only the plan is shown, and nothing is broken.",
        maximum=1,
        metavar="P",
    ),
    Option(
        "inject_seed",
        "--inject-seed",
        "int",
        0,
        "Another seed chooses other tests and failures; the same one always the same.",
        metavar="N",
    ),
    Option(
        "inject_learn",
        "--inject-learn",
        "flag",
        False,
        "Learn from recoveries of injected failures as from those of true ones.",
    ),
)
