"""Byte strings between a Locust master and its workers, in compressed pieces over Locust's own connection.

A piece is sent when the one before has been taken: heartbeats travel on the same connection, and a worker whose heartbeat waits behind
megabytes of records would be given up (Locust waits 3 s for one).
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from gevent.event import AsyncResult, Event

if TYPE_CHECKING:
    from locust.runners import MasterRunner, WorkerRunner

_PIECE_BYTES = 1 << 19
"""Before compression, which is some 10 ms of work: the event loop goes on in between."""
_PIECE, _TAKEN = "serveoff-piece", "serveoff-taken"


class Parcels:
    """`peer` is the worker's id, at both ends."""

    def __init__(self, runner: MasterRunner | WorkerRunner) -> None:
        self._runner = runner
        self._arriving: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._arrived: dict[tuple[str, str], AsyncResult] = defaultdict(AsyncResult)
        self._taken: dict[tuple[str, str], Event] = {}
        runner.register_message(_PIECE, self._on_piece)
        runner.register_message(_TAKEN, self._on_taken)

    def send(self, name: str, data: bytes, peer: str) -> None:
        """Return when all of it has been taken; never, where the peer is gone."""
        starts = range(0, max(1, len(data)), _PIECE_BYTES)
        for start in starts:
            taken = self._taken[peer, name] = Event()
            piece = zlib.compress(data[start : start + _PIECE_BYTES], 1)
            self._runner.send_message(_PIECE, {"name": name, "piece": piece, "last": start == starts[-1]}, client_id=peer)
            taken.wait()

    def has(self, name: str, peer: str) -> bool:
        return bool(self._arrived[peer, name].ready())

    def wait(self, name: str, peer: str) -> bytes:
        data: bytes = self._arrived[peer, name].get()
        return data

    def _on_piece(self, msg: Any, **_: Any) -> None:
        key = msg.node_id, msg.data["name"]
        self._arriving[key].append(zlib.decompress(msg.data["piece"]))
        self._runner.send_message(_TAKEN, {"name": msg.data["name"]}, client_id=msg.node_id)
        if msg.data["last"]:
            self._arrived[key].set(b"".join(self._arriving.pop(key)))

    def _on_taken(self, msg: Any, **_: Any) -> None:
        self._taken[msg.node_id, msg.data["name"]].set()
