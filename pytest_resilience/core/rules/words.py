"""Names and signatures that several tables of rules share.

Invariant: a signature holds only words that a program always says, never an id, port,
path, version or time.
"""

from __future__ import annotations

from pytest_resilience.core import evidence as ev


def any_of(*signatures: str) -> str:
    """Return the regular expression that finds any of `signatures`."""
    return "|".join(signatures)


BROWSER = r"(?:chrome|chromium|ms ?edge|microsoft edge|edge|opera|brave|electron|webview|browser)"

#: Exceptions of the client's own HTTP stack.
WIRE = ("urllib3.*", "http.client.*")

#: Exceptions of other HTTP clients: their trouble is with the application, not the driver.
OTHER_CLIENTS = ("requests.*", "httpx.*", "aiohttp.*", "urllib.error.*")

#: A request that was not a WebDriver one, by its path.
NOT_WEBDRIVER = r"with url: (?!\S{0,300}/(?:session|status)\b)"

SESSION_LOST = (
    "InvalidSessionIdException",
    "InvalidSessionIdError",
    "NoSuchSessionException",
    "NoSuchSessionError",
)

#: A driver that no longer knows the session and says nothing about why.
BARE_SESSION_LOST = (
    r"^(?:invalid session id|no such session)?[\s;.]*(?:\(session info[^)]*\))?\s*$"
    r"|without establishing a connection"
)

NO_SUCH_WINDOW = ("NoSuchWindowException", "NoSuchWindowError")

TIMEOUTS = ("TimeoutException", "TimeoutError", "ScriptTimeoutException", "playwright.*")

#: Mistakes no browser can provoke.
MISTAKES = (
    "NameError",
    "SyntaxError",
    "ImportError",
    "FixtureLookupError",
    "InvalidSelectorException",
    "InvalidSelectorError",
)

NAVIGATION = frozenset(
    {"get", "goto", "refresh", "reload", "back", "forward", "goback", "goforward", "navigate"}
)
SCRIPTS = frozenset(
    {
        "executescript",
        "executeasyncscript",
        "executescriptasync",
        "executeasync",
        "executesync",
        "evaluate",
    }
)

#: Answers of the page's server that show the fault is there.
SERVER_DOWN = frozenset(
    {
        ev.VANISHED,
        ev.REFUSED,
        ev.RESET,
        ev.DNS,
        ev.TLS,
        ev.SILENT,
        ev.ERROR,
        ev.GATEWAY,
        ev.SERVER_ERROR,
    }
)

#: Shortages of the host that make everything slow, others only make something fail.
SLOWING = r"\b(?:memory|processor)\b"

LOOPBACK = r"host='?(?:localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])"
