"""Whether a grid has room for a session, by what its nodes say they offer."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.browser import offers


def node(
    *stereotypes: dict[str, Any],
    taken: tuple[int, ...] = (),
    availability: str = "UP",
    most: int | None = None,
) -> dict[str, Any]:
    """Return what `/status` says of a node with a slot for each stereotype, some of them taken."""
    slots = [
        {"stereotype": stereotype, "session": {"sessionId": str(i)} if i in taken else None}
        for i, stereotype in enumerate(stereotypes)
    ]
    limit = {} if most is None else {"maxSessions": most}
    return {"availability": availability, "slots": slots, **limit}


CHROME = {"browserName": "chrome", "platformName": "linux"}
FIREFOX = {"browserName": "firefox", "platformName": "linux"}
PINNED = {**CHROME, "browserVersion": "120.0"}
ANY = {"browserName": "chrome"}


@pytest.mark.parametrize(
    ("nodes", "requested", "answer"),
    [
        pytest.param([node(CHROME)], ANY, "free", id="free"),
        pytest.param([node(CHROME, taken=(0,))], ANY, "busy", id="taken"),
        pytest.param([node(CHROME, FIREFOX, taken=(0,))], ANY, "busy", id="other-kind-free"),
        pytest.param([node(FIREFOX)], ANY, "misfit", id="other-kind-only"),
        pytest.param([node(CHROME, FIREFOX, taken=(1,), most=1)], ANY, "busy", id="node-full"),
        pytest.param([], ANY, "empty", id="no-nodes"),
        pytest.param([node(CHROME, availability="DRAINING")], ANY, "empty", id="drains"),
        pytest.param(
            [node(CHROME, availability="DOWN"), node(FIREFOX)], ANY, "empty", id="its-node-is-down"
        ),
        pytest.param([node(CHROME)], {"browserName": "Chrome"}, "free", id="upper-case"),
        pytest.param([node(CHROME)], {**ANY, "platformName": "LINUX"}, "free", id="platform"),
        pytest.param([node(CHROME)], {**ANY, "platformName": "any"}, "free", id="any-platform"),
        pytest.param([node(CHROME)], {**ANY, "platformName": "Windows 11"}, "misfit", id="windows"),
        pytest.param([node(CHROME)], {**ANY, "platformName": "amiga"}, "ok", id="odd-platform"),
        pytest.param([node(PINNED)], {**ANY, "browserVersion": "stable"}, "free", id="stable"),
        pytest.param([node(PINNED)], {**ANY, "browserVersion": "120"}, "ok", id="short-version"),
        pytest.param([node(PINNED)], {**ANY, "browserVersion": "119.0"}, "misfit", id="version"),
        pytest.param([node(CHROME)], {**ANY, "browserVersion": "119.0"}, "ok", id="unpinned"),
        pytest.param([node(CHROME)], {**ANY, "goog:chromeOptions": {}}, "free", id="of-driver"),
        pytest.param([node(CHROME)], {**ANY, "shop:gpu": True}, "ok", id="not-understood"),
        pytest.param(
            [node({**CHROME, "shop:gpu": True})], {**ANY, "shop:gpu": True}, "free", id="own-kind"
        ),
        pytest.param(
            [node(FIREFOX)],
            {"capabilities": {"alwaysMatch": {}, "firstMatch": [ANY, {"browserName": "firefox"}]}},
            "free",
            id="one-of-two",
        ),
        pytest.param(
            [node(FIREFOX)], {"capabilities": {"alwaysMatch": ANY}}, "misfit", id="w3c-form"
        ),
        pytest.param([node(CHROME)], None, "ok", id="unknown-request"),
        pytest.param([node(CHROME, taken=(0,))], None, "busy", id="unknown-request-taken"),
        pytest.param([{"availability": "UP", "slots": [{}]}], ANY, "ok", id="says-nothing"),
    ],
)
def test_room_is_told_by_what_fits(nodes: list[Any], requested: object, answer: str) -> None:
    assert offers.room(nodes, requested)[0] == answer


def test_the_detail_names_what_was_wanted() -> None:
    nodes = [node(CHROME, CHROME, taken=(0,)), node(CHROME, availability="DOWN")]
    assert offers.room(nodes, ANY)[1] == "1 of 2 nodes up, 1 slots free for chrome"
