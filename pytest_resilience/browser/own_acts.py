"""What a test does itself to its browser, and what would look like a failure of it.

Invariant: only what was sent through the driver of the test is known here; what anybody else
does to the browser is not the test's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_resilience.core.evidence import CUT, SLOWED

_SET, _DELETE = "setNetworkConditions", "deleteNetworkConditions"
#: Selenium's own name, and the one suites gave it when selenium had none.
_CDP = frozenset({"executeCdpCommand", "send_command"})
#: Commands of a driver that may be such an act.
ACTS = frozenset({_SET, _DELETE, "refresh"}) | _CDP
#: Those after which a page has been loaded by the network as it is now.
LOADS = frozenset({"get", "refresh"})

_EMULATE = ("Network.emulateNetworkConditions", "Network.emulateNetworkConditionsByRule")
#: What ends the emulation that a test has begun over DevTools.
_OVER = "Network.disable"
_CLOSE = "Browser.close"
_THROUGHPUTS = ("throughput", "download_throughput", "upload_throughput")
_THROUGHPUTS_OF_CDP = ("downloadThroughput", "uploadThroughput")


def ends_browser(command: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether `command` closes the browser, past `quit` and `close`."""
    return command in _CDP and parameters.get("cmd") == _CLOSE


def network(command: str, parameters: Mapping[str, Any]) -> str | None:
    """Return what the network of the browser is after `command`.

    Returns:
        ``cut``, ``slowed``, "" for as it is; None if the command does not change it.
    """
    if command == _DELETE:
        return ""
    if command == _SET:
        conditions = parameters.get("network_conditions")
        return _found([conditions], _THROUGHPUTS)
    method, conditions = parameters.get("cmd"), parameters.get("params")
    if command not in _CDP or method not in (*_EMULATE, _OVER):
        return None
    if method == _OVER:
        return ""
    rules = conditions.get("matchedNetworkConditions") if isinstance(conditions, Mapping) else None
    own = [conditions, *(rules if isinstance(rules, list) else ())]
    return _found(own, _THROUGHPUTS_OF_CDP)


def _found(conditions: list[Any], throughputs: tuple[str, ...]) -> str:
    """Return what the worst of `conditions` makes of a network."""
    known = [each for each in conditions if isinstance(each, Mapping)]
    if any(each.get("offline") for each in known):
        return CUT
    limits = [each.get(name) for each in known for name in ("latency", *throughputs)]
    return SLOWED if any(isinstance(limit, int | float) and limit > 0 for limit in limits) else ""
