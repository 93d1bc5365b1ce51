"""A TCP proxy in front of an S3 server that can lose answers, as a bad network does.

with CuttingProxy(server.port) as proxy:
    proxy.lose_answers_to(b"PUT", times=1)     # the server carries the request out, the client hears nothing
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Forwards everything to `upstream_port` on 127.0.0.1, except the answers that it was told to lose."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._method = b""
        self._times = 0
        self._after_bytes = 0
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self.num_lost = 0

    def lose_answers_to(self, method: bytes, *, times: int, after_bytes: int = 0) -> None:
        """Cut the connection in the next answers to `method`, after so many bytes of each."""
        with self._lock:
            self._method, self._times, self._after_bytes = method, times, after_bytes

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: object, *arguments: socket.socket) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            if select.select([self._listener], [], [], 0.1)[0]:
                self._start(self._forward, self._listener.accept()[0])

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(ConnectionError), self._connect() as upstream:
            request, lose_after, answered = b"", -1, 0
            while not self._stopping.is_set():
                ready = select.select([client, upstream], [], [], 0.1)[0]
                if client in ready:
                    data = client.recv(65536)
                    if answered:  # the next request on this connection
                        request, answered = b"", 0
                    if not request:
                        request = data[:16]
                        lose_after = self._take(request)
                    if not data:
                        return
                    upstream.sendall(data)
                if upstream in ready:
                    data = upstream.recv(65536)
                    if not data:
                        return
                    if not data.startswith(b"HTTP/1.1 100"):
                        if lose_after >= 0 and answered + len(data) > lose_after:
                            client.sendall(data[: lose_after - answered])
                            self.num_lost += 1
                            return
                        answered += len(data)
                    client.sendall(data)

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._upstream_port), timeout=30)

    def _take(self, request: bytes) -> int:
        """After how many bytes of the answer to this request the connection is cut; -1 for not at all."""
        with self._lock:
            if self._times == 0 or not request.startswith(self._method + b" "):
                return -1
            self._times -= 1
            return self._after_bytes
