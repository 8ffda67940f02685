"""The run's samples as tables and goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Goal, Sample, best, difference, figure, ratio
from bench.payloads import Payloads
from bench.rivals import RIVALS
from serveoff import host

OURS = "serveoff"
GRPC = "serveoff gRPC c1, grpcio"
FLOOR = "in process"
IMAGE = "224x224x3 gRPC c1, grpcio"
IMAGE_H2LOAD = "224x224x3 gRPC c1, h2load"
IMAGE_FLOOR = "224x224x3 in process"
BATCHING_OFF = "serveoff batching off"
BATCHING_ON = "serveoff batching on"
CONCURRENCY = 8
BATCHING_CONCURRENCY = 32
BATCH_FLOOR = f"in process, {BATCHING_CONCURRENCY} rows"
_WIDTH = 150

Samples = Mapping[str, Sequence[Sample]]


def cell(server: str, connections: int) -> str:
    return f"{server} REST c{connections}"


def grpc_cell(server: str, connections: int) -> str:
    return f"{server} gRPC c{connections}, h2load"


def _rps(samples: Samples, name: str) -> list[float]:
    return [sample.rps for sample in samples[name]]


def _p50(samples: Samples, name: str) -> list[float]:
    return [sample.p50_us for sample in samples[name]]


def goals(samples: Samples, rivals: Sequence[str]) -> list[Goal]:
    """The goals whose cells were measured."""
    found = []
    if rivals:
        rates = {name: figure(_rps(samples, cell(name, CONCURRENCY))).median for name in rivals}
        fastest = best(rates)
        value = ratio(_rps(samples, cell(OURS, CONCURRENCY)), _rps(samples, cell(fastest, CONCURRENCY)))
        found.append(Goal(f"throughput at concurrency {CONCURRENCY}, ours over {fastest}'s", "x", value, 3.0, rising=True))
        for name in rivals:
            value = ratio(_p50(samples, cell(OURS, 1)), _p50(samples, cell(name, 1)))
            found.append(Goal(f"p50 at concurrency 1, ours over {name}'s", "x", value, 1.0, rising=False))
    for name, floor, limit, text in (
        (cell(OURS, 1), FLOOR, 400.0, "REST p50 minus in-process p50"),
        (grpc_cell(OURS, 1), FLOOR, 500.0, "gRPC p50 minus in-process p50, client h2load"),
        (GRPC, FLOOR, 500.0, "gRPC p50 minus in-process p50, client grpcio"),
        (IMAGE_H2LOAD, IMAGE_FLOOR, 3000.0, "gRPC p50 minus in-process p50, 224x224x3 float32, client h2load"),
        (IMAGE, IMAGE_FLOOR, 3000.0, "gRPC p50 minus in-process p50, 224x224x3 float32, client grpcio"),
    ):
        if name in samples and floor in samples:
            found.append(Goal(text, "us", difference(_p50(samples, name), _p50(samples, floor)), limit, rising=False))
    for kind, named in (("REST", cell), ("gRPC", grpc_cell)):
        on, off = named(BATCHING_ON, BATCHING_CONCURRENCY), named(BATCHING_OFF, BATCHING_CONCURRENCY)
        if on in samples and off in samples:
            value = ratio(_rps(samples, on), _rps(samples, off))
            text = f"{kind} throughput at concurrency {BATCHING_CONCURRENCY}, batching on over off"
            found.append(Goal(text, "x", value, 1.5, rising=True))
    return found


def row_costs(samples: Samples) -> str:
    """What batching wins in the model itself; empty where it was not measured. In the server a call saved is more than that."""
    if FLOOR not in samples or BATCH_FLOOR not in samples:
        return ""
    alone, together = _p50(samples, FLOOR), [p50_us / BATCHING_CONCURRENCY for p50_us in _p50(samples, BATCH_FLOOR)]
    rows = f"a row of a batch of {BATCHING_CONCURRENCY} {_spread(figure(together), 'us')}"
    return f"in process: a row alone {_spread(figure(alone), 'us')}, {rows}"


def as_json(samples: Samples, made: Sequence[Goal]) -> dict[str, Any]:
    return {
        "schema": 1,
        "host": msgspec.to_builtins(host.facts()),
        "packages": {name: RIVALS[name].packages for name in RIVALS if cell(name, 1) in samples},
        "cells": {name: [_with_rate(sample) for sample in rounds] for name, rounds in samples.items()},
        "goals": [goal.as_json() for goal in made],
    }


def _with_rate(sample: Sample) -> dict[str, float]:
    return {**msgspec.to_builtins(sample), "rps": sample.rps}


def show(samples: Samples, made: Sequence[Goal], settings: Mapping[str, str], reply_bytes: Mapping[str, int], sent: Payloads) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    if samples:
        console.print(_cells(samples))
    for name, words in settings.items():
        body = sent.rows if RIVALS[name].body == "rows" else sent.v2
        note = "" if RIVALS[name].body == "rows" else ", which is the same tensor in the Open Inference Protocol's JSON"
        packages = ", ".join(RIVALS[name].packages)
        console.print(f"{name}: {packages}; {words}; {body.stat().st_size} bytes sent{note}; {reply_bytes[name]} back", highlight=False)
    if OURS in reply_bytes:
        sizes = f"{sent.rows.stat().st_size} bytes sent, {reply_bytes[OURS]} back"
        console.print(f"serveoff: one thread a call, batching off; REST {sizes}; gRPC {sent.grpc.stat().st_size} sent", highlight=False)
    if costs := row_costs(samples):
        console.print(costs, highlight=False)
    if made:
        console.print(_goals(made))


def _cells(samples: Samples) -> Table:
    table = Table(
        title=f"Medians of {len(next(iter(samples.values())))} rounds; in brackets the smallest and the largest", title_justify="left"
    )
    for heading in ("", "requests/s", "p50 us", "p99 us", "server CPU us a request", "others' CPU, cores"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    for name, rounds in samples.items():
        table.add_row(
            name,
            _spread(figure([s.rps for s in rounds])),
            _spread(figure([s.p50_us for s in rounds])),
            _spread(figure([s.p99_us for s in rounds])),
            _spread(figure([s.server_cpu_us for s in rounds])),
            f"{figure([s.foreign_cores for s in rounds]).median:.2f}",
        )
    return table


def _goals(made: Sequence[Goal]) -> Table:
    table = Table(title="Goals", title_justify="left")
    for heading in ("", "measured", "goal", "verdict"):
        table.add_column(heading)
    for goal in made:
        sign = "at least" if goal.rising else "at most"
        table.add_row(goal.name, _spread(goal.value, goal.unit), f"{sign} {_number(goal.limit)} {goal.unit}", goal.verdict)
    return table


def _spread(value: Figure, unit: str = "") -> str:
    return f"{_number(value.median)} {unit}".strip() + f" ({_number(value.low)}-{_number(value.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
