"""Ports of this machine: one that is free for a while, and one that nobody can listen on.

Invariant: neither can be taken by one of the connections that come and go meanwhile.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator


def free_port() -> int:
    """Return a port nobody listens on at the moment, for somebody who starts to soon.

    It is none of those that Linux gives to connections: these come and go by the hundred in the
    seconds in which a part of a grid starts.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port that refuses connections, and is kept from everybody else meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
