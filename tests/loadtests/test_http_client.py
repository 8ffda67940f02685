"""The HTTP client against a server that misbehaves in every way we could think of. In this process: no Locust is needed."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from loadtests.handover import Payloads
from loadtests.locust import clock
from loadtests.locust.calls import CallError
from loadtests.locust.http_client import HttpClient
from loadtests.locust.sockets import Line
from serveoff.launch import Endpoint

from .watchdog import watched

if TYPE_CHECKING:
    from .http_stand_in import HttpStandIn

BODIES = (b'{"instances": [[1.0]]}', b'{"instances": [[2.0]]}')


Connect = Callable[..., HttpClient]


@pytest.fixture
def client() -> Iterator[Connect]:
    made = []

    def connect(port: int, path: str, timeout_s: float = 5, bodies: tuple[bytes, ...] = BODIES) -> HttpClient:
        endpoint = Endpoint(protocol="tfs_rest", host="127.0.0.1", port=port, model_name="m")
        payloads = Payloads(transport="http", path=path, headers={"Accept": "*/*"}, bodies=bodies)
        made.append(HttpClient(endpoint, payloads, timeout_s))
        return made[-1]

    yield connect
    for subject in made:
        subject.close()


def test_many_requests_travel_on_one_connection_and_arrive_as_they_were_encoded(client: Connect, http_stand_in: HttpStandIn) -> None:
    subject = client(http_stand_in.port, "/ok")
    assert {subject.call(number % 2) for number in range(50)} == {b'{"predictions": [[0.5, 0.5]]}'}
    assert http_stand_in.connections == 1
    assert http_stand_in.bodies == [BODIES[number % 2] for number in range(50)]


def test_a_request_that_the_kernel_cannot_take_at_once_arrives_whole(client: Connect, http_stand_in: HttpStandIn) -> None:
    large = bytes(range(256)) * (1 << 16)
    subject = client(http_stand_in.port, "/ok", bodies=(large,))
    assert subject.call(0)
    assert subject.call(0)
    assert http_stand_in.bodies == [large, large]


def test_the_times_are_those_at_the_kernel_and_connecting_counts(
    client: Connect, http_stand_in: HttpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that tells how often it was read, among what was done meanwhile."""
    done: list[str] = []

    def now_ns() -> int:
        done.append("clock")
        return len(done)

    def send(line: Line, data: bytes) -> None:
        done.append("send")
        sending(line, data)

    sending = Line.send
    monkeypatch.setattr(Line, "send", send)
    monkeypatch.setattr(clock, "now_ns", now_ns)
    subject = client(http_stand_in.port, "/ok")
    subject.call(0)
    assert subject.sent_ns == 1, "before it connected"
    done.clear()
    subject.call(0)
    assert done == ["clock", "clock", "send", "clock"], "the time limit's, then the request's, then the reply's"
    assert (subject.sent_ns, subject.received_ns) == (2, 4)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chunked", b"hello world"),
        ("/continue", b'{"predictions": [[0.5, 0.5]]}'),
        ("/dribble", b'{"predictions": [[0.5, 0.5]]}'),
        ("/until_close", b"no length given"),
        ("/last", b'{"predictions": [[0.5, 0.5]]}'),
    ],
)
def test_every_way_to_frame_a_reply_is_understood_twice_in_a_row(
    client: Connect, http_stand_in: HttpStandIn, path: str, body: bytes
) -> None:
    subject = client(http_stand_in.port, path)
    assert [subject.call(0), subject.call(1)] == [body, body]
    assert http_stand_in.connections == (2 if path in ("/until_close", "/last") else 1)


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/500", "http-500", "out of <memory>"),
        ("/302", "http-302", ""),
        ("/garbage", "malformed reply", "SSH-2.0"),
        ("/twice", "malformed reply", "more than one reply"),
        ("/upgrade", "malformed reply", "HTTP/1.1 101"),
        ("/cut", "connection", "in the middle"),
        ("/cut_chunk", "connection", "in the middle"),
        ("/cut_chunks", "connection", "in the middle"),
        ("/502", "http-502", "<html>no upstream</html>"),
        ("/cut_head", "connection", "in the middle"),
        ("/silent", "connection", "before any reply"),
    ],
)
def test_what_is_not_an_answer_has_its_class_and_its_text(
    client: Connect, http_stand_in: HttpStandIn, path: str, kind: str, text: str
) -> None:
    subject = client(http_stand_in.port, path)
    for _ in range(2):  # the second time on whatever the first left behind
        with pytest.raises(CallError) as caught:
            subject.call(0)
        assert caught.value.kind == kind
        assert text in caught.value.text


def test_an_error_reply_keeps_the_connection(client: Connect, http_stand_in: HttpStandIn) -> None:
    subject = client(http_stand_in.port, "/500")
    for _ in range(3):
        with pytest.raises(CallError):
            subject.call(0)
    assert http_stand_in.connections == 1


def test_nobody_listens(client: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CallError, match="refused") as caught:
        client(port, "/ok").call(0)
    assert caught.value.kind == "connection"


@pytest.mark.parametrize("path", ["/stall", "/stall_half"])
def test_a_stalled_request_expires_and_the_next_one_gets_a_new_connection(client: Connect, http_stand_in: HttpStandIn, path: str) -> None:
    subject = client(http_stand_in.port, path, timeout_s=0.2)
    with watched(subject):
        for _ in range(2):
            with pytest.raises(CallError, match=r"no reply within 0\.2 s") as caught:
                subject.call(0)
            assert caught.value.kind == "timeout"
    assert http_stand_in.connections == 2


def test_a_request_that_nobody_takes_expires_while_it_is_being_sent(client: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        subject = client(deaf.getsockname()[1], "/ok", timeout_s=0.2, bodies=(bytes(1 << 24),))
        with watched(subject), pytest.raises(CallError) as caught:
            subject.call(0)
    assert caught.value.kind == "timeout"


def test_expiring_an_idle_client_does_nothing(client: Connect, http_stand_in: HttpStandIn) -> None:
    subject = client(http_stand_in.port, "/ok", timeout_s=0.01)
    subject.call(0)
    subject.expire(time.monotonic_ns() + 10**12)
    assert subject.call(1)
    assert http_stand_in.connections == 1
