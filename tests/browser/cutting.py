"""A wire between a client and a driver that can be cut in the middle of a command.

Invariant: what is not cut passes unchanged; nothing is listening any more after `close`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

#: Ways of losing a command: before it reaches the driver, or its answer on the way back.
REQUEST, ANSWER, HALF = "request", "answer", "half-an-answer"


class CuttingProxy:
    """Passes HTTP/1.1 requests on to `port`, and cuts those that `cuts` says.

    Attributes:
        cuts: Called with method and path of each request; returns how it is lost, "" to pass it.
        seen: Method and path of all requests that came in.
    """

    def __init__(self, port: int) -> None:
        self.cuts: Callable[[str, str], str] = lambda _method, _path: ""
        self.seen: list[tuple[str, str]] = []
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            while True:
                head, body = _message(client)
                method, path, _version = head.split(b"\r\n", 1)[0].decode().split(" ")
                self.seen.append((method, path))
                how = self.cuts(method, path)
                if how == REQUEST:
                    _reset(client)
                    return
                with socket.create_connection(("127.0.0.1", self._port)) as driver:
                    driver.sendall(head + body)
                    head, body = _message(driver)
                if how == ANSWER:
                    return
                if how == HALF:
                    client.sendall(head + body[: len(body) // 2])
                    return
                client.sendall(head + body)


def _message(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read one message; return its head with the empty line, and its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(sock)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    while len(body) < sum(lengths):
        body += _some(sock)
    return head + b"\r\n\r\n", body


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise EOFError
    return data


def _reset(sock: socket.socket) -> None:
    # Closed with RST instead of FIN.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
