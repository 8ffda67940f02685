"""An HTTP server that misbehaves as asked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

REPLY = b'{"predictions": [[0.5, 0.5]]}'


def reply(body: bytes = REPLY, status: str = "200 OK", *headers: str) -> bytes:
    head = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class HttpStandIn:
    """An HTTP server that does what the path says. `bodies` are the requests it saw; `before` runs before each answer."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.bodies: list[bytes] = []
        self.before: Callable[[], None] = lambda: None
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    if not (data := connection.recv(65536)):
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                while len(buffer) < length:
                    buffer += connection.recv(65536)
                body, buffer = buffer[:length], buffer[length:]
                self.bodies.append(body)
                self.before()
                if not _answer(connection, head.split(b" ")[1].decode()):
                    connection.shutdown(socket.SHUT_RDWR)
                    return
        except OSError:
            return
        finally:
            connection.close()


def _answer(connection: socket.socket, path: str) -> bool:
    """`/500` answers 500, and so on; anything else answers `REPLY`. Whether the connection stays open."""
    whole = {
        "/500": reply(b"out of <memory>", "500 Internal Server Error"),
        "/302": reply(b"", "302 Found", "Location: /elsewhere"),
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "/continue": b"HTTP/1.1 100 Continue\r\n\r\n" + reply(),
        "/garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
        "/twice": reply() + reply(),
        "/upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "/cut": reply()[:-4],
        "/cut_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n wo",
        "/cut_chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "/502": reply(b"<html>no upstream</html>", "502 Bad Gateway"),
        "/cut_head": b"HTTP/1.1 200 OK\r\nContent-",
        "/until_close": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nno length given",
        "/last": reply(REPLY, "200 OK", "Connection: close"),
        "/silent": b"",
    }
    if path in ("/stall", "/stall_half"):
        connection.sendall(reply()[:-4] if path == "/stall_half" else b"")
        threading.Event().wait(30)
    elif path == "/dribble":
        for byte in reply():
            connection.sendall(bytes([byte]))
            time.sleep(0.002)
        return True
    connection.sendall(whole.get(path, reply()))
    return path in ("/500", "/502", "/302", "/chunked", "/continue", "/twice", "/garbage") or path not in whole
