"""Has a grid room for the session that was asked for, going by what its nodes offer?

Invariant: pure; "no" is said only where browser, version or platform surely differ, and a
free slot is called fitting only where nothing was asked for that is not understood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_resilience.core.evidence import BUSY, EMPTY, FREE, MISFIT, OK

#: Capabilities of drivers and of the grid itself, which choose no node.
_OF_DRIVERS = ("goog:", "moz:", "ms:", "se:", "safari:", "webkitgtk:", "wdio:")
_FAMILIES = {"win": "windows", "linux": "unix", "unix": "unix", "mac": "mac", "os x": "mac"}

Capabilities = Mapping[str, Any]


def room(nodes: list[Any], requested: object) -> tuple[str, str]:
    """Return whether a grid with `nodes` has room for a session, and what was found.

    Args:
        nodes: As `/status` lists them.
        requested: Capabilities, flat or in their W3C form; None if they are not known.

    Returns:
        EMPTY if no node that could take it is up, MISFIT if there is no node for it at all,
        BUSY if all fitting slots are taken, FREE if one is free that surely fits, else OK.
    """
    wanted = list(_wanted(requested))
    up = [node for node in nodes if node.get("availability") == "UP"]
    fitting = {id(node): [s for s in slots(node) if _fits_any(s, wanted)] for node in nodes}
    free = [slot for node in up for slot in _free(node, fitting[id(node)])]
    detail = f"{len(up)} of {len(nodes)} nodes up, {len(free)} slots free"
    names = {str(found["browserName"]) for found in wanted if found.get("browserName")}
    if names:
        detail += f" for {' or '.join(sorted(names))}"
    if not any(fitting[id(node)] for node in up):
        return (EMPTY if not up or any(fitting.values()) else MISFIT), detail
    if not free:
        return BUSY, detail
    return (FREE if any(_fit(slot, w) for slot in free for w in wanted) else OK), detail


def names(requested: object) -> set[str]:
    """Return the names of all capabilities that a request mentions."""
    return {name for wanted in _wanted(requested) for name in wanted}


def _free(node: Capabilities, fitting: list[Capabilities]) -> list[Capabilities]:
    """Return those of the fitting slots that can still be taken."""
    taken = sum(1 for slot in slots(node) if slot.get("session"))
    # A node runs fewer sessions than it has slots, if those are of several kinds.
    most = node.get("maxSessions")
    left = most - taken if isinstance(most, int) else len(fitting)
    return [slot for slot in fitting if not slot.get("session")][: max(0, left)]


def _fits_any(slot: Capabilities, wanted: list[Capabilities]) -> bool:
    return not wanted or any(_fit(slot, each) is not False for each in wanted)


def _fit(slot: Capabilities, wanted: Capabilities) -> bool | None:
    """Return whether a slot serves a request, None if that cannot be told from here."""
    offered = slot.get("stereotype")
    if not isinstance(offered, Mapping):
        return None
    found = [
        _same_name(wanted.get("browserName"), offered.get("browserName")),
        _same_platform(wanted.get("platformName"), offered.get("platformName")),
        _same_version(wanted.get("browserVersion"), offered.get("browserVersion")),
        *(
            offered.get(name) == value or None
            for name, value in wanted.items()
            if ":" in name and not name.startswith(_OF_DRIVERS)
        ),
    ]
    return False if False in found else (None if None in found else True)


def _same_name(wanted: object, offered: object) -> bool | None:
    if not wanted:
        return True
    return str(wanted).lower() == str(offered).lower() if offered else None


def _same_platform(wanted: object, offered: object) -> bool | None:
    if not wanted or str(wanted).lower() in ("any", str(offered).lower()):
        return True
    families = _family(wanted), _family(offered)
    # Within a family some names stand for others.
    return False if None not in families and families[0] != families[1] else None


def _family(platform: object) -> str | None:
    name = str(platform).lower()
    return next((family for start, family in _FAMILIES.items() if name.startswith(start)), None)


def _same_version(wanted: object, offered: object) -> bool | None:
    if not wanted or str(wanted).lower() in ("stable", str(offered).lower()):
        return True
    if not offered:
        return None
    longer, shorter = sorted((str(wanted), str(offered)), key=len, reverse=True)
    return None if longer.startswith(shorter) else False


def _wanted(requested: object) -> Iterator[Capabilities]:
    """Yield each set of capabilities that a request is content with."""
    if not isinstance(requested, Mapping):
        return
    w3c = requested.get("capabilities")
    if not isinstance(w3c, Mapping):
        yield requested
        return
    always, first = w3c.get("alwaysMatch"), w3c.get("firstMatch")
    for match in first if isinstance(first, list) and first else ({},):
        yield {**_mapping(always), **_mapping(match)}


def _mapping(value: object) -> Capabilities:
    return value if isinstance(value, Mapping) else {}


def slots(node: Capabilities) -> list[Capabilities]:
    """Return the slots of a node."""
    return [slot for slot in node.get("slots") or () if isinstance(slot, Mapping)]
