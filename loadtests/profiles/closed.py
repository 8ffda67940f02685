"""Closed loop: N users, each sends its next request as soon as it has the reply. For "what do N clients get", and for capacity.

It hides stalls: while the server hangs, nobody asks (coordinated omission). Latency at a rate is the business of the open profiles.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import Load, connections, duration


class Closed:
    summary = "N users, back to back"
    options = (connections("users", 8), duration(2.5))

    def load(self, options: Mapping[str, float]) -> Load:
        return Load(connections=int(options["users"]), duration_s=options["duration_s"])


PROFILE = Closed()
