"""Rules about commands that were ended because what should have answered them did not.

Invariant: the message of such an ending names the culprit, found by probes made while the
command hung; nothing else is read.
"""

from __future__ import annotations

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.rule import BuiltinRule, Rule

#: Class of the exceptions meant here.
COMMAND_HUNG = "CommandHung"

#: What may not have answered, as messages call it, and the error type it stands for.
BLAMED = {
    "the browser": ErrorType.BROWSER,
    "a tab": ErrorType.BROWSER,
    "the graphics process": ErrorType.GPU,
    "the driver": ErrorType.DRIVER,
    "the node": ErrorType.WORKER,
    "the grid": ErrorType.COORDINATOR,
}


def blamed(message: str) -> str:
    """Return the key of `BLAMED` that the message of an ending names, "" if it names none."""
    _, _, reason = message.partition(" s: ")
    return next((name for name in BLAMED if reason.startswith(name)), "")


def _rule(name: str, remote: bool | None = None, recovery: str = "") -> Rule:
    suffix = "-on-node" if remote else ""
    return BuiltinRule(
        name=f"hung-{name.split()[1]}{suffix}",
        error_type=BLAMED[name],
        confidence=0.95,
        recovery=recovery,
        types=(COMMAND_HUNG,),
        message=rf"ended after [\d.]+ s: {name}\b",
        remote=remote,
        strong=True,
    )


# The driver of a node is started anew only with a new session.
RULES = (_rule("the driver", remote=True, recovery="node_switch"), *map(_rule, BLAMED))
