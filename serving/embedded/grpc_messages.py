"""gRPC over HTTP/2, the parts that are not HTTP/2: message frames, time limits, status texts, health messages."""

from __future__ import annotations

import zlib

from google.protobuf import wrappers_pb2
from google.protobuf.message import DecodeError

from .status import Code, ServingError, invalid

MAX_MESSAGE_BYTES = (1 << 31) - 1
HEALTH = "/grpc.health.v1.Health/"
SERVING, SERVICE_UNKNOWN = 1, 3

_HEALTHY_SERVICES = ("", "ModelService", "PredictionService")
_MAX_STATUS_BYTES = 1024
_TRUNCATED = "...TRUNCATED"
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def unframed(data: bytes, encoding: bytes) -> bytes:
    """The one message of a unary call. Raises ServingError for none, several, a cut one or an unknown compression."""
    length = int.from_bytes(data[1:5], "big")
    if len(data) < 5 or len(data) != 5 + length:
        raise ServingError(Code.INTERNAL, "a unary call carries exactly one message")
    message = data[5:]
    if data[0] == 0:
        return message
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise ServingError(Code.UNIMPLEMENTED, f"compression {encoding.decode('latin-1')!r} is not supported")
    unpacker = zlib.decompressobj(bits)
    try:
        message = unpacker.decompress(message, MAX_MESSAGE_BYTES)
    except zlib.error:
        raise ServingError(Code.INTERNAL, "the message does not unpack") from None
    if not unpacker.eof:
        raise ServingError(Code.INTERNAL, "the message does not unpack")
    return message


def timeout_s(value: bytes) -> float | None:
    """Of a grpc-timeout header, e.g. b"200m"; None where it does not read as one."""
    text = value.decode("latin-1")
    unit = _UNITS_S.get(text[-1:])
    return int(text[:-1]) * unit if unit and text[:-1].isdecimal() and len(text) <= 9 else None


def shortened(message: str) -> str:
    """At most 1024 bytes, as TF Serving sends."""
    data = message.encode("utf-8", "replace")
    if len(data) <= _MAX_STATUS_BYTES:
        return data.decode()
    return data[: _MAX_STATUS_BYTES - len(_TRUNCATED)].decode("utf-8", "ignore") + _TRUNCATED


def percent_encoded(message: str) -> bytes:
    """As the grpc-message header wants it."""
    return b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in message.encode())


def is_healthy(request: bytes) -> bool:
    """Whether a HealthCheckRequest names a service of ours (it has one string at 1, as StringValue has). Raises ServingError."""
    try:
        return wrappers_pb2.StringValue.FromString(request).value in _HEALTHY_SERVICES
    except DecodeError:
        raise invalid("the request is no HealthCheckRequest") from None


def health_reply(status: int) -> bytes:
    """A HealthCheckResponse: one number at 1, as Int32Value has."""
    return bytes(wrappers_pb2.Int32Value(value=status).SerializeToString())


def health_check(request: bytes) -> bytes:
    if not is_healthy(request):
        raise ServingError(Code.NOT_FOUND, "unknown service")
    return health_reply(SERVING)


def health_watch(request: bytes) -> bytes:
    """The first and only message of the stream: the state never changes while the server runs."""
    return health_reply(SERVING if is_healthy(request) else SERVICE_UNKNOWN)
