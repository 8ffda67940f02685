"""HTTP/2 (RFC 9113) for a client that has one call in flight: frames in, frames out, no sockets. HPACK is the `hpack` package's.

zttp, which the embedded server stands on, will not do: as a client it ends each request with an empty frame and answers each frame with an
update of its window. Two choices keep a call cheap: our SETTINGS forbid the dynamic table, so equal header blocks mean equal headers and
are decoded once; and they grant so large a window that no reply has to wait for more.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hpack import Decoder, Encoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
_CANCEL = 8
ERRORS = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR"),
    *("REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)

_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4
_DEFAULT_WINDOW = (1 << 16) - 1
_LARGEST_WINDOW = (1 << 31) - 1
_LARGEST_FRAME = 1 << 14
"""What each side must take, and need not exceed."""
_HEAD_BYTES = 9
_FORGET_TABLE = b"\x20"
"""HPACK's "the dynamic table has no room": right at the start of any block, and due where the server has lowered its limit."""
_MOST_KNOWN_BLOCKS = 256

Headers = dict[str, str]


class Http2Error(Exception):
    """What came is not HTTP/2, or not what we have asked for."""


class StreamResetError(Exception):
    """The server has given up on this call, for the reason of this code; the connection is as good as before."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the call was reset ({error_name(code)})")
        self.code = code


class GoneError(Exception):
    """The server leaves and will not answer this call. `in_order`: nothing was wrong, and it may be sent again over a new connection."""

    def __init__(self, words: str, *, in_order: bool) -> None:
        super().__init__(words)
        self.in_order = in_order


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def header_block(headers: Sequence[tuple[str, str]]) -> bytes:
    """Encoded without the dynamic table: the same bytes are right for every call."""
    return _FORGET_TABLE + Encoder().encode([(name, value, True) for name, value in headers])


def error_name(code: int) -> str:
    return ERRORS[code] if code < len(ERRORS) else f"error {code}"


class Connection:
    """`out` is what is to be sent next. A call: `open`, `send` until all is sent, `receive` until `complete`."""

    def __init__(self, known_blocks: dict[bytes, Headers]) -> None:
        settings = ((_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW_SIZE, _LARGEST_WINDOW))
        self.out = PREFACE + frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *setting) for setting in settings))
        self.out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", _LARGEST_WINDOW - _DEFAULT_WINDOW))
        self.farewell = ""
        """What the server said when it left: it takes no further calls."""
        self.headers: list[Headers] = []
        self.parts: list[bytes] = []
        self.complete = False
        self._decoder = Decoder()
        self._decoder.max_allowed_table_size = self._decoder.header_table_size = 0
        self._known_blocks = known_blocks
        self._stream = -1
        self._unread = b""
        self._window = self._stream_window = self._initial_window = _DEFAULT_WINDOW
        self._taken = 0
        self._block = b""
        self._in_block = self._ends_after_block = False

    def open(self, block: bytes) -> None:
        """Begin a call with these headers."""
        self._stream += 2
        self._stream_window = self._initial_window
        self.headers, self.parts, self.complete = [], [], False
        self.out += frame(HEADERS, END_HEADERS, self._stream, block)

    def send(self, message: bytes, start: int) -> int:
        """Put as much of the message's rest as the server takes now into `out`; returns where what is left begins."""
        end = start + max(0, min(len(message) - start, self._window, self._stream_window))
        self._window -= end - start
        self._stream_window -= end - start
        for at in range(start, end, _LARGEST_FRAME):
            part = message[at : min(at + _LARGEST_FRAME, end)]
            self.out += frame(DATA, END_STREAM if at + len(part) == len(message) else 0, self._stream, part)
        return end

    def cancel(self) -> None:
        """The rest of the message is no longer wanted."""
        self.out += frame(RST_STREAM, 0, self._stream, _CANCEL.to_bytes(4, "big"))

    @property
    def begun(self) -> bool:
        """Whether some of the reply has come."""
        return bool(self.headers or self._unread)

    def receive(self, data: bytes) -> None:
        """Take what came. Raises Http2Error, StreamResetError, GoneError."""
        data = self._unread + data
        at, end = 0, len(data)
        try:
            while end - at >= _HEAD_BYTES:
                size = int.from_bytes(data[at : at + 3], "big")
                if size > _LARGEST_FRAME:
                    raise Http2Error(f"no frame of HTTP/2: {data[at : at + 40]!r}")
                start = at + _HEAD_BYTES
                if end - start < size:
                    break
                kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : start], "big") & _LARGEST_WINDOW
                at = start + size
                self._take(kind, flags, stream, data[start:at])
        finally:
            self._unread = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._in_block and kind != CONTINUATION:
            raise Http2Error("a header block was interrupted")
        if kind == DATA:
            self._take_data(flags, stream, payload)
        elif kind in (HEADERS, CONTINUATION):
            self._take_headers(kind, flags, stream, payload)
        elif kind == SETTINGS:
            self._agree(flags, payload)
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big") & _LARGEST_WINDOW)
        elif kind == GOAWAY:
            self._leave(payload)
        elif kind == RST_STREAM and stream == self._stream and not self.complete:
            raise StreamResetError(int.from_bytes(payload[:4], "big"))
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, payload)
        elif kind == PUSH_PROMISE:
            raise Http2Error("a push that we do not take")

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._taken += len(payload)
        if self._taken > _LARGEST_WINDOW // 2:
            self.out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", self._taken))
            self._taken = 0
        if stream == self._stream:
            self.parts.append(_unpadded(flags, payload))
            self.complete = self.complete or bool(flags & END_STREAM)

    def _take_headers(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._block = _unpadded(flags, payload)[5 if flags & PRIORITY else 0 :]
            self._ends_after_block = bool(flags & END_STREAM)
        else:
            self._block += payload
        self._in_block = not flags & END_HEADERS
        if self._in_block:
            return
        block = self._block
        headers = self._known_blocks.get(block)
        if headers is None:
            headers = self._decoded(block)
        if stream == self._stream and not headers.get(":status", "").startswith("1"):
            self.headers.append(headers)
            self.complete = self.complete or self._ends_after_block

    def _decoded(self, block: bytes) -> Headers:
        try:
            headers = {_text(name): _text(value) for name, value in self._decoder.decode(block, raw=True)}
        except HPACKError as error:
            raise Http2Error(f"headers that cannot be read: {error}") from None
        if len(self._known_blocks) < _MOST_KNOWN_BLOCKS:
            self._known_blocks[block] = headers
        return headers

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream == self._stream:
            self._stream_window += size

    def _agree(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            return
        for name, value in struct.iter_unpack(">HL", payload[: len(payload) // 6 * 6]):
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        self.out += frame(SETTINGS, ACK, 0, b"")

    def _leave(self, payload: bytes) -> None:
        last, code = struct.unpack(">LL", payload[:8].ljust(8, b"\0"))
        self.farewell = f"the server ended the connection ({error_name(code)}) {_text(payload[8:])}".strip()
        if last & _LARGEST_WINDOW < self._stream and not self.complete:
            raise GoneError(self.farewell, in_order=code == 0)


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED and payload else payload


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
