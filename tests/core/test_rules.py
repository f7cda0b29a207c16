"""Each built-in rule on an example of its own."""

from __future__ import annotations

import re

import pytest

from pytest_resilience.core.classifier import BUILTIN_RULES, Rule, classify
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rules import USUAL_RECOVERY, USUAL_SEVERITY
from tests.core.examples import Example
from tests.core.rule_examples import EXAMPLES, RECOVERIES

from .failures_of import evidence, fact, failure


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: f"{case.rule}-{case.exception}")
def test_example_is_decided_by_its_rule(case: Example) -> None:
    """Each example is diagnosed by the rule written for it, and by none before it."""
    said = fact(case.exception, case.message, origin=case.origin)
    found = classify(
        failure(said, command=case.command, remote=case.remote),
        evidence(case.details, **case.answers),
    )
    assert found.rule == case.rule


def test_every_rule_has_an_example() -> None:
    """No rule is dead, and no example speaks of a rule that does not exist."""
    assert {case.rule for case in EXAMPLES} == {rule.name for rule in BUILTIN_RULES}


def test_rule_names_are_unique() -> None:
    """A rule's name in a report leads to one rule."""
    names = [rule.name for rule in BUILTIN_RULES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", BUILTIN_RULES, ids=lambda rule: rule.name)
def test_a_rule_of_our_own_would_pass_the_check_made_of_others(rule: Rule) -> None:
    """It is spared it at the start of every suite."""
    rule.check()


def test_every_rule_asks_for_something() -> None:
    """No built-in rule matches whatever comes."""
    assert [r.name for r in BUILTIN_RULES if not (r.types or r.message or r.evidence)] == []


def test_recoveries_are_names_of_strategies() -> None:
    """Every rule recommends something that exists."""
    assert {_recovery(rule) for rule in BUILTIN_RULES} <= RECOVERIES


def test_infrastructure_alone_has_a_recovery() -> None:
    """A product failure has none, but for a server that may come back."""
    excused = [
        rule.name
        for rule in BUILTIN_RULES
        if not rule.error_type.infrastructure and _recovery(rule) not in ("none", "delayed_retry")
    ]
    helpless = [
        rule.name
        for rule in BUILTIN_RULES
        if rule.error_type.infrastructure and _recovery(rule) == "none"
    ]
    assert (excused, helpless) == ([], [])


def test_patterns_are_free_of_volatile_text() -> None:
    """No pattern holds an id, address, port, path, version or time that only one run had."""
    volatile = {
        rule.name: found
        for rule in BUILTIN_RULES
        for source in (rule.message, rule.without, *rule.details.values())
        if (found := _volatile(source))
    }
    assert volatile == {}


def test_strong_signatures_are_of_infrastructure() -> None:
    """Only infrastructure can have a signature that outweighs an assertion."""
    wrong = [r.name for r in BUILTIN_RULES if r.strong and not r.error_type.infrastructure]
    assert wrong == []


@pytest.mark.parametrize("member", ErrorType, ids=lambda member: member.label)
def test_every_error_type_has_a_usual_recovery_and_severity(member: ErrorType) -> None:
    """A user's rule may leave both out, whatever type it names."""
    assert USUAL_RECOVERY[member] in RECOVERIES
    assert USUAL_SEVERITY[member]


#: Codes of errors, signals, HTTP and JSON-RPC, the grid's usual port, and loopback.
_STABLE_NUMBERS = {
    "127", "4444", "69", "13", "28", "24", "23", "12", "11", "10061", "1005", "111", "61", "99",
    "98", "105", "50", "504", "122", "112", "39", "10055", "32601", "32603",
}  # fmt: skip


def _recovery(rule: Rule) -> str:
    return rule.recovery or USUAL_RECOVERY[rule.error_type]


def _volatile(source: str) -> list[str]:
    literal = re.sub(r"\{[\d,]+\}|\[[^\]]*\]|\\.", "", source)
    suspects = re.findall(r"[0-9a-f]{12,}|\d+\.\d+\.\d+|/(?:usr|home|tmp|opt|var)/", literal)
    return suspects + [n for n in re.findall(r"\d{2,}", literal) if n not in _STABLE_NUMBERS]
