"""What an example of a rule is made of: what was raised and found, and what it has to be called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SESSION = "/session/0123456789abcdef0123456789abcdef"
TIMED_OUT = "HTTPConnectionPool(host='localhost', port=4101): Read timed out. (read timeout=9)"
REMOTE_TIMED_OUT = "HTTPConnectionPool(host='grid', port=4444): Read timed out. (read timeout=9)"
REFUSED = (
    "HTTPConnectionPool(host='localhost', port=4101): "
    f"Max retries exceeded with url: {SESSION}/url "
    "(Caused by NewConnectionError('Failed to establish a new connection: "
    "[Errno 111] Connection refused'))"
)
RENDERER = "timeout: Timed out receiving message from renderer: 4.998"
BARE = "Message: invalid session id"
READ = "urllib3.ReadTimeoutError"
RETRY = "urllib3.MaxRetryError"
NO_SESSION = "SessionNotCreatedException"
PLAYWRIGHT = "playwright.Error"


@dataclass
class Example:
    """What must be diagnosed by the rule called `rule`."""

    rule: str
    exception: str
    message: str = ""
    command: str = ""
    remote: bool = False
    origin: str = ""
    details: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


def example(rule: str, exception: str, message: str = "", **rest: Any) -> Example:
    known = {k: rest.pop(k) for k in ("command", "remote", "origin", "details") if k in rest}
    return Example(rule, exception, message, **known, answers=rest)
