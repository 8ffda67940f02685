from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from serveoff.errors import ServeoffError, UsageError
from serving import ports


def test_ports_are_free_below_the_outgoing_range_and_never_given_twice() -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = [port for one in pool.map(lambda _: ports.take(("rest", "grpc", "metrics")), range(8)) for port in one.values()]
    assert len(set(taken)) == 24
    assert all(20000 <= port < 32768 for port in taken)
    for port in taken:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_no_free_port_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(ServeoffError, match="found no free port") as raised:
        ports.take(("rest",))
    assert "serveoff stop" in raised.value.hint


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("192.0.2.1", "does not have the address"),
        ("0.0.0.0", "stands for all addresses"),
        ("localhost", "no IPv4 address"),
        ("::1", "IPv4"),
    ],
)
def test_an_address_that_clients_could_not_use_is_refused(address: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ports.require_address(address)


def test_an_address_of_this_host_will_do() -> None:
    ports.require_address("127.0.0.1")
