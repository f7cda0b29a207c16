"""Text made fit to be shown: cleaned, clipped, and numbers as people read them.

Invariant: what `clean` returns has no terminal escape, no control character besides
newline and tab, and no lone surrogate, so that it can be written anywhere as UTF-8.
"""

from __future__ import annotations

import re

#: Characters kept of one traceback or message.
CLIP = 8192

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # device control and other strings
    r"|\x1b[ -/]*[0-~]?"
)
# Bidirectional overrides can make a line read differently from what it says.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return `text` without escapes and control characters, with newlines as ``\\n``."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _UNSEEN.sub("", _ANSI.sub("", text)))


def clip(text: str, limit: int = CLIP) -> str:
    """Return `text`, or its head and tail around a note, of about `limit` characters.

    The tail is the longer part, since tracebacks end with what matters.
    """
    if len(text) <= limit:
        return text
    head = limit // 3
    tail = limit - head
    left_out = len(text) - limit
    return f"{text[:head]}\n[... {left_out:,} characters left out ...]\n{text[len(text) - tail :]}"


def headline(message: str, limit: int = 100) -> str:
    """Return the first line of `message` that says something, of at most `limit` characters."""
    for line in clean(message).split("\n"):
        said = " ".join(line.removeprefix("Message:").split())
        if said:
            return said if len(said) <= limit else said[: max(limit - 3, 0)].rstrip() + "..."
    return ""


def seconds(value: float) -> str:
    """Return a duration of `value` seconds as people read it."""
    if value < 0.0005:
        return "0 s"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, noun: str) -> str:
    """Return `count` with `noun` in the right number."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"
