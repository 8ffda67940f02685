"""The gRPC client against grpcio's server, and against one that misbehaves in every way we could think of. In this process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hpack import Decoder, Encoder

from loadtests.handover import Payloads
from loadtests.locust import http2
from loadtests.locust.calls import CallError
from loadtests.locust.grpc_client import GrpcClient
from loadtests.locust.http2 import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, RST_STREAM, WINDOW_UPDATE, frame
from serveoff.launch import Endpoint

from .grpc_stand_in import HANG_UP, HEAD, HELLO, OK, SLOWLY, Http2StandIn, Script, answer, block, message
from .watchdog import watched

if TYPE_CHECKING:
    from .conftest import GrpcStandIn

BIG = bytes(range(256)) * 12_000
BODIES = (b"one", b"", BIG)
ONE, EMPTY, LARGE = range(3)

Connect = Callable[..., GrpcClient]
Serve = Callable[..., Http2StandIn]


@pytest.fixture
def client() -> Iterator[Connect]:
    made = []

    def connect(port: int, path: str = "/x/Echo", timeout_s: float = 5) -> GrpcClient:
        endpoint = Endpoint(protocol="tfs_grpc", host="127.0.0.1", port=port, model_name="m")
        made.append(GrpcClient(endpoint, Payloads(transport="grpc", path=path, headers={}, bodies=BODIES), timeout_s))
        return made[-1]

    yield connect
    for subject in made:
        subject.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = []

    def start(script: Script, *, hello: bytes = HELLO, early: bool = False) -> Http2StandIn:
        made.append(Http2StandIn(script, hello=hello, early=early))
        return made[-1]

    yield start
    for server in made:
        server.close()


def goaway(last: int, code: int) -> bytes:
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + b"why")


def test_many_calls_travel_on_one_connection_whatever_their_size(client: Connect, grpc_stand_in: GrpcStandIn) -> None:
    """3 MB is more than grpcio's windows: both sides have to wait for each other."""
    subject = client(grpc_stand_in.port)
    for number in [*range(3), *[ONE] * 300, *range(3)]:
        assert subject.call(number) == BODIES[number]
    assert len(grpc_stand_in.peers) == 1


def test_a_status_is_a_class_and_its_message_a_text(client: Connect, grpc_stand_in: GrpcStandIn) -> None:
    subject = client(grpc_stand_in.port, "/x/RESOURCE_EXHAUSTED")
    for _ in range(3):
        with pytest.raises(CallError) as caught:
            subject.call(ONE)
        assert (caught.value.kind, caught.value.text) == ("grpc-RESOURCE_EXHAUSTED", "the stand-in says no")
    assert len(grpc_stand_in.peers) == 1, "an error keeps the connection"


def test_the_server_is_told_the_time_limit(client: Connect, serve: Serve) -> None:
    server = serve(answer)
    client(server.port, timeout_s=1.5).call(ONE)
    (request,) = [payload for kind, _, _, payload in server.frames[0] if kind == HEADERS]
    assert ("grpc-timeout", "1500m") in [(str(name), str(value)) for name, value in Decoder().decode(request)]


def _with_table(stream: int) -> bytes:
    """Headers that a decoder is asked to remember, although ours has no room."""
    remembered = Encoder().encode([(":status", "200"), ("content-type", "application/grpc"), ("x-date", str(stream))])
    return frame(HEADERS, END_HEADERS, stream, remembered) + answer(stream)[9 + len(HEAD) :]


def _in_pieces(stream: int) -> bytes:
    """One header block in two frames, data in padded and in empty ones, pings and news between them."""
    body = message(b"yes")
    return (
        frame(HEADERS, 0, stream, HEAD[:3])
        + frame(http2.CONTINUATION, END_HEADERS, stream, HEAD[3:])
        + frame(PING, 0, 0, b"12345678")
        + frame(DATA, PADDED, stream, b"\x02" + body[:4] + b"\0\0")
        + frame(DATA, 0, stream, b"")
        + HELLO
        + frame(200, 255, stream, b"a kind of frame that nobody knows")
        + frame(DATA, 0, stream - 2 if stream > 1 else 99, b"of a call that is over")
        + frame(DATA, 0, stream, body[4:])
        + frame(HEADERS, END_HEADERS | END_STREAM | http2.PRIORITY | PADDED, stream, b"\x01" + b"\0\0\0\0\x0f" + OK + b"\0")
    )


@pytest.mark.parametrize(
    "script",
    [
        answer,
        _with_table,
        _in_pieces,
        lambda stream: SLOWLY + _in_pieces(stream),
        lambda stream: frame(HEADERS, END_HEADERS, stream, block((":status", "103"))) + answer(stream),
    ],
    ids=["plain", "remembered headers", "pieces", "slowly", "interim reply"],
)
def test_every_way_to_frame_a_reply_is_understood_twice_in_a_row(client: Connect, serve: Serve, script: Script) -> None:
    server = serve(script)
    subject = client(server.port)
    assert [subject.call(ONE), subject.call(ONE)] == [b"yes", b"yes"]
    assert len(server.frames) == 1
    pings = [(flags, payload) for kind, flags, _, payload in server.frames[0] if kind == PING]
    assert set(pings) == ({(ACK, b"12345678")} if b"12345678" in script(1) else set())


def _trailers(*headers: tuple[str, str]) -> Script:
    only = block((":status", "200"), ("content-type", "application/grpc"), *headers)
    return lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, only)


def _reset(code: int) -> Script:
    return lambda stream: frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("script", "kind", "text", "connections"),
    [
        (_trailers(("grpc-status", "8"), ("grpc-message", "too %25 much")), "grpc-RESOURCE_EXHAUSTED", "too % much", 1),
        (_trailers(("grpc-status", "4")), "timeout", "", 1),
        (_trailers(("grpc-status", "99")), "grpc-UNKNOWN", "", 1),
        (_trailers(), "malformed reply", "without a gRPC status", 1),
        (_reset(7), "grpc-UNAVAILABLE", "REFUSED_STREAM", 1),
        (_reset(2), "grpc-INTERNAL", "INTERNAL_ERROR", 1),
        (lambda s: answer(s).replace(message(b"yes"), b"\1\0\0\0\3yes"), "malformed reply", "not one uncompressed message", 1),
        (lambda s: answer(s).replace(message(b"yes"), b"\0\0\0\0\4yes"), "malformed reply", "not one uncompressed message", 1),
        (
            lambda s: frame(HEADERS, END_HEADERS, s, block((":status", "503"))) + frame(DATA, END_STREAM, s, b"busy"),
            "http-503",
            "busy",
            1,
        ),
        (lambda s: frame(DATA, END_STREAM, s, b"x"), "malformed reply", "without headers", 1),
        (lambda s: frame(HEADERS, END_HEADERS, s, b"\xff\xff\xff\xff\xff"), "malformed reply", "headers that cannot be read", 2),
        (lambda s: frame(HEADERS, 0, s, HEAD) + answer(s), "malformed reply", "interrupted", 2),
        (lambda s: frame(http2.PUSH_PROMISE, END_HEADERS, s, b"\0\0\0\2" + HEAD), "malformed reply", "a push", 2),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "malformed reply", "HTTP/1.1 400", 2),
        (lambda _: HANG_UP, "connection", "before any reply", 2),
        (lambda s: answer(s)[:40] + HANG_UP, "connection", "in the middle", 2),
        (lambda _: goaway(0, 11) + HANG_UP, "connection", "ENHANCE_YOUR_CALM) why", 2),
        (lambda s: answer(s)[:40] + goaway(s, 2) + HANG_UP, "connection", "in the middle", 2),
    ],
)
def test_what_is_not_an_answer_has_its_class_and_its_text(
    client: Connect, serve: Serve, script: Script, kind: str, text: str, connections: int
) -> None:
    server = serve(script)
    subject = client(server.port)
    for _ in range(2):  # the second time on whatever the first left behind
        with pytest.raises(CallError) as caught:
            subject.call(ONE)
        assert caught.value.kind == kind
        assert text in caught.value.text
    assert len(server.frames) == connections


def test_a_call_that_a_leaving_server_has_not_looked_at_is_sent_again_over_a_new_connection(client: Connect, serve: Serve) -> None:
    said = iter([answer(1), goaway(1, 0), answer(1)])
    server = serve(lambda _: next(said))
    subject = client(server.port)
    assert [subject.call(ONE), subject.call(ONE)] == [b"yes", b"yes"]
    assert len(server.frames) == 2


def test_after_a_goodbye_the_next_call_connects_anew(client: Connect, serve: Serve) -> None:
    server = serve(lambda stream: goaway(stream, 0) + answer(stream))
    subject = client(server.port)
    assert [subject.call(ONE) for _ in range(3)] == [b"yes"] * 3
    assert len(server.frames) == 3


def test_a_server_that_always_says_goodbye_is_not_asked_for_ever(client: Connect, serve: Serve) -> None:
    server = serve(lambda _: goaway(0, 0))
    with pytest.raises(CallError, match="NO_ERROR") as caught:
        client(server.port).call(ONE)
    assert caught.value.kind == "connection"
    assert len(server.frames) == 2


def test_the_window_of_the_server_is_kept(client: Connect, serve: Serve) -> None:
    """It takes 10 bytes of a call, then some more, then nothing: the call has to wait, and its time runs out."""
    hello = frame(http2.SETTINGS, 0, 0, b"\0\4" + (10).to_bytes(4, "big"))
    more = frame(WINDOW_UPDATE, 0, 1, (1 << 20).to_bytes(4, "big")) + frame(WINDOW_UPDATE, 0, 0, (1 << 24).to_bytes(4, "big"))
    server = serve(lambda _: more, hello=hello, early=True)
    subject = client(server.port, timeout_s=0.5)
    with watched(subject), pytest.raises(CallError, match="no reply"):
        subject.call(LARGE)
    sizes = [len(payload) for kind, _, _, payload in server.frames[0] if kind == DATA]
    assert (1 << 20) + 10 <= sum(sizes) <= (1 << 20) + 65_535, "until the server's SETTINGS come, the standard's 65,535 are granted"
    assert max(sizes) <= 16_384


def test_a_reply_before_the_whole_request_ends_it(client: Connect, serve: Serve) -> None:
    server = serve(_trailers(("grpc-status", "3"), ("grpc-message", "too large")), early=True)
    subject = client(server.port)
    for _ in range(2):
        with pytest.raises(CallError, match="too large"):
            subject.call(LARGE)
    assert len(server.frames) == 1
    assert (RST_STREAM, 1) in [(kind, stream) for kind, _, stream, _ in server.frames[0]]


def test_a_stalled_call_expires_and_the_next_one_gets_a_new_connection(client: Connect, serve: Serve) -> None:
    server = serve(lambda _: b"")
    subject = client(server.port, timeout_s=0.2)
    with watched(subject):
        for _ in range(2):
            with pytest.raises(CallError, match=r"no reply within 0\.2 s") as caught:
                subject.call(ONE)
            assert caught.value.kind == "timeout"
    assert len(server.frames) == 2


def test_nobody_listens(client: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CallError, match="refused") as caught:
        client(port).call(ONE)
    assert caught.value.kind == "connection"
