"""Failures and evidence for tests, in a few words."""

from __future__ import annotations

from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ExceptionFact, Failure

_WEBDRIVER = ("selenium.common.exceptions.WebDriverException", "builtins.Exception")
_PLAYWRIGHT = ("playwright._impl._errors.Error", "builtins.Exception")
_HTTP_ERROR = ("urllib3.exceptions.HTTPError", "builtins.Exception")
_BUILTIN_BASES = {
    "ConnectionRefusedError": ("ConnectionError", "OSError", "Exception"),
    "ConnectionError": ("OSError", "Exception"),
    "TimeoutError": ("OSError", "Exception"),
    "KeyError": ("LookupError", "Exception"),
    "ModuleNotFoundError": ("ImportError", "Exception"),
}


def mro(name: str) -> tuple[str, ...]:
    """Return a full MRO for `name`: selenium's if it ends so, else by its package, else builtin."""
    package, _, short = name.rpartition(".")
    if package.startswith("playwright"):
        return (f"playwright._impl._errors.{short}", *_PLAYWRIGHT)
    if package.startswith("urllib3"):
        return (f"urllib3.exceptions.{short}", *_HTTP_ERROR)
    if package:
        return (name, "builtins.Exception", "builtins.BaseException")
    if short == "WebDriverException":
        return (*_WEBDRIVER, "builtins.BaseException")
    if short == "Failed":
        return ("builtins.Failed", "_pytest.outcomes.OutcomeException", "builtins.BaseException")
    if short.endswith("Exception") and short != "Exception":
        return (f"selenium.common.exceptions.{short}", *_WEBDRIVER)
    bases = _BUILTIN_BASES.get(short, ("Exception",))
    return tuple(f"builtins.{base}" for base in (short, *bases, "BaseException"))


def fact(name: str, message: str = "", relation: str = "raised", origin: str = "") -> ExceptionFact:
    """Return the fact of an exception."""
    return ExceptionFact(mro(name) if name else (), message, relation, origin)


def failure(
    *chain: ExceptionFact, command: str = "", remote: bool = False, phase: str = "call"
) -> Failure:
    """Return a failure with `chain`."""
    return Failure("test_it.py::test_it", phase, chain, command=command, remote=remote)


def evidence(details: dict[str, str] | None = None, /, **answers: str) -> Evidence:
    """Return evidence with these answers by name of probe."""
    found = details or {}
    return Evidence(ProbeResult(name, word, found.get(name, "")) for name, word in answers.items())
