"""The table of what each server had and used: are the means equal, and what does a request cost?"""

from __future__ import annotations

from collections.abc import Callable

from serveoff.surroundings import Usage

from . import wording
from .rows import Group, Row
from .table import Line, Table, Value, columns, line, number

_TEXTS = ("row", "load", "cores", "client's cores")
_NUMBERS = ("threads a call", "CPU a reply", "memory", "memory, peak", "processes", "threads", "waits a reply", "interrupted a reply")


def used(groups: list[Group]) -> Table:
    """One line for each row that was measured."""
    return Table(
        title="What each server used",
        columns=columns((*_TEXTS, *_NUMBERS), numeric=_NUMBERS),
        lines=tuple(_line(group, row) for group in groups for row in group.rows),
        intro="Inside the window, all processes of a server together. CPU is its CPU time over its good replies. Memory is resident; "
        "pages that processes share count in each; a container's is that of its cgroup, with its page cache. 'Waits': how often a thread "
        "gave its core up; 'interrupted': how often the system took it away. Of several rounds: sums, the mean memory, the highest peak.",
        empty="Nothing was measured.",
    )


def _line(group: Group, row: Row) -> Line:
    pooled, target = row.pooled, row.cell.target
    around = pooled.around if pooled else None
    replies = pooled.throughput_rps * pooled.window_s if pooled else 0.0
    return line(
        row.label,
        f"{group.profile}, {group.encoding}",
        _cores(around.target_cores if around else None),
        _cores(around.client_cores if around else None),
        number(str(target.threads), target.threads),
        *_figures(around.used if around else None, replies),
        dimmed=not row.usable,
    )


def _figures(found: Usage | None, replies: float) -> list[Value]:
    if found is None:
        return [number(wording.NOTHING, None)] * (len(_NUMBERS) - 1)
    return [
        _each(found.cpu_s, replies, lambda seconds: f"{wording.milliseconds(round(seconds * 1e6))} ms"),
        number(wording.size(round(found.memory_mean_bytes)), found.memory_mean_bytes),
        number(wording.size(found.memory_peak_bytes), found.memory_peak_bytes),
        number(str(found.processes), found.processes),
        number(str(found.threads), found.threads),
        _each(found.voluntary_switches, replies, lambda times: f"{times:.2f}"),
        _each(found.involuntary_switches, replies, lambda times: f"{times:.2f}"),
    ]


def _each(total: float | None, replies: float, text: Callable[[float], str]) -> Value:
    """The share of one reply."""
    if total is None or replies <= 0:
        return number(wording.NOTHING, None)
    return number(text(total / replies), total / replies)


def _cores(cores: tuple[int, ...] | None) -> str:
    """`0, 2-5`: as the system numbers them."""
    if cores is None:
        return wording.NOTHING
    spans: list[list[int]] = []
    for core in cores:
        if spans and core == spans[-1][-1] + 1:
            spans[-1].append(core)
        else:
            spans.append([core])
    return ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)
