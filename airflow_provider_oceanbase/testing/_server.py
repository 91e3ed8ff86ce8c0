"""A small threaded HTTP/1.1 server: parses a request, calls a function for the response, sends it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl


@dataclass
class Response:
    """An HTTP response: status, headers (names may repeat), body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


#: From method, target, headers (lower-case names) and body to the response; None drops the connection.
Respond = Callable[[str, str, Mapping[str, str], bytes], Response | None]


class Server(ThreadingHTTPServer):
    """Serves in its own threads until it is stopped."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, address: tuple[str, int], respond: Respond, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.respond = respond
        self._ssl_context = ssl_context
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def start(self) -> None:
        """Serve in a background thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close every connection."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._connections):
            _shut(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, in its thread."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(request)
        try:
            # The TLS handshake is in this thread: a client that never completes it must not block the others.
            if self._ssl_context:
                secured = self._ssl_context.wrap_socket(request, server_side=True)
                self._connections.add(secured)
                with secured:
                    super().finish_request(secured, client_address)
                self._connections.discard(secured)
            else:
                super().finish_request(request, client_address)
        except OSError:
            # The client disconnected, or its TLS handshake failed.
            return
        finally:
            self._connections.discard(request)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length) if length.isdigit() else 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.respond(self.command, self.path, headers, body)
        if response is None:
            self.close_connection = True
            return
        self.send_response_only(response.status)
        # By the real clock, whatever times a test gives its backup sets.
        self.send_header("Date", self.date_time_string())
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815 - names of the base class
    # Buffered: headers and body are sent in one packet.
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Log nothing; the emulator records its requests itself."""
