"""The tables of what was measured: its rows, and how each was measured."""

from __future__ import annotations

from serveoff.contract import GIVEN, Manifest, Parity
from serveoff.results import WRONG_ANSWER

from . import wording
from .bootstrap import CAPACITY, METRICS, Range
from .percentiles import P50, P90, P99, P999, Estimate, minimum_samples
from .recovery import recovery
from .rounds import FEWEST, Pooled
from .rows import Group, Row
from .table import Column, Line, Notes, Table, Value, columns, line, number

FEW = "\N{DAGGER}"
"""Stands behind a percentile with fewer samples than it needs."""


_SEARCHES = {
    "capacity": "Searched: the highest arrival rate that keeps the objective. The other figures are those at that rate.",
    "sweep": "Searched: one arrival rate after the other, past saturation; the curve has all of them.",
}


def measured(group: Group) -> Table:
    """The group's rows, in its order. `offered` is there in an open loop only."""
    notes = Notes()
    lines = tuple(_line(row, group, notes) for row in group.rows)
    return Table(title=group.name, columns=_columns(group), lines=lines, intro=_intro(group), notes=tuple(notes.texts))


def _intro(group: Group) -> str:
    loop = "Closed loop: each user waits for the reply before it sends again, so a slow server is asked less often."
    if group.open_loop:
        loop = "Open loop: requests are due at a given rate, and latency counts from when a request was due."
    few = any(e is not None and not e.enough for row in group.rows for e in (row.p50, row.p90, row.p99))
    needs = ", ".join(f"{name} {minimum_samples(quantile):,}" for name, quantile in (("p50", P50), ("p90", P90), ("p99", P99)))
    parts = [loop]
    if group.load in _SEARCHES:
        parts.append(_SEARCHES[group.load])
    if group.repeated:
        parts.append("Figures are those of all valid rounds together.")
    if group.intervals:
        parts.append(f"'95%': bootstrap interval over the rounds, of at least {FEWEST}.")
    if group.encoding == "binary" and len({row.cell.protocol for row in group.rows}) > 1:
        parts.append("Payloads are the same tensor bytes, each in its server's own message.")
    if few:
        parts.append(f"{FEW} marks fewer replies (n) than the percentile needs: {needs}.")
    return " ".join(parts)


def _columns(group: Group) -> tuple[Column, ...]:
    def ranged(title: str, name: str, priority: int) -> list[Column]:
        return [Column(title, numeric=True), *([Column(name, numeric=True, priority=priority)] if group.intervals else [])]

    made = [
        Column("server"),
        Column("format"),
        Column("precision", priority=5),
        Column("framework", priority=4),
        Column("protocol"),
        *ranged("p50 ms", "p50 95%", 3),
        Column("p90 ms", numeric=True, priority=1),
        *ranged("p99 ms", "p99 95%", 1),
        Column("p99 at most", numeric=True, priority=4),
        *(ranged("capacity/s", "capacity 95%", 1) if group.metric is CAPACITY else []),
        *ranged("replies/s", "replies/s 95%", 1 if not group.open_loop else 4),
        *([Column("offered/s", numeric=True, priority=5)] if group.open_loop else []),
        Column("errors", numeric=True, priority=1),
        Column("n", numeric=True, priority=4),
        Column("payload", numeric=True, priority=3),
        Column("artifact", numeric=True, priority=3),
        Column("parity", priority=2),
        *([Column("rounds", numeric=True, priority=1)] if group.repeated else []),
        Column("verdict"),
    ]
    return tuple(made)


def _line(row: Row, group: Group, notes: Notes) -> Line:
    cell, m = row.cell, row.pooled
    return line(
        row.server,
        wording.clean(cell.manifest.format),
        wording.clean(cell.manifest.precision),
        cell.manifest.framework,
        row.protocol,
        _percentile(row.p50),
        *_range(row, group, "p50"),
        _percentile(row.p90),
        _percentile(row.p99),
        *_range(row, group, "p99"),
        _bound(row.p99),
        *(_capacity(row, group) if group.metric is CAPACITY else []),
        number(wording.rate(m.throughput_rps if m else None), -m.throughput_rps if m else None),
        *_range(row, group, "throughput"),
        *([number(wording.rate(m.offered_rps if m else None), m.offered_rps if m else None)] if group.open_loop else []),
        _errors(row, m, notes),
        number(wording.count(row.latency.n) if row.latency else wording.NOTHING, row.latency.n if row.latency else None),
        number(wording.size(cell.payload_bytes), cell.payload_bytes),
        number(wording.size(cell.manifest.size_bytes), cell.manifest.size_bytes),
        artifact_parity(cell.manifest, f"{row.label}, parity", notes),
        *([_rounds(row, notes)] if group.repeated else []),
        _verdict(row, notes),
        dimmed=not row.usable,
    )


def _percentile(estimate: Estimate | None) -> Value:
    if estimate is None:
        return number(wording.NOTHING, None)
    text = wording.milliseconds(estimate.value_us)
    return number(text if estimate.enough else text + FEW, estimate.value_us, "" if estimate.enough else "weak")


def _capacity(row: Row, group: Group) -> list[Value]:
    found = row.capacity_rps
    return [number(wording.rate(found), None if found is None else -found), *_range(row, group, CAPACITY.name)]


def _range(row: Row, group: Group, name: str) -> list[Value]:
    """The interval's cell, where the group has intervals."""
    if not group.intervals:
        return []
    found: Range | None = row.ranges.get(name)
    if found is None:
        return [number(wording.NOTHING, None)]
    text = wording.rate if METRICS[name].quantile is None else lambda us: wording.milliseconds(round(us))
    return [number(wording.between(found.low, found.high, text), found.low)]


def _rounds(row: Row, notes: Notes) -> Value:
    """The valid rounds; how many attempts were void, and why, in a note."""
    valid = len(row.rounds) if row.verdict == "VALID" else sum(1 for cell in row.attempts if cell.verdict == "VALID")
    if not row.void:
        return number(str(valid), valid)
    told = [
        f"round {cell.round}, attempt {cell.attempt}: {'; '.join(map(wording.clean, cell.reasons)) or 'no reason was given'}"
        for cell in row.attempts
        if cell.verdict == "INVALID"
    ]
    reference = notes.refer(f"{row.label}: void: {'. '.join(told)}.")
    return number(f"{valid}, {row.void} void {reference}", valid, "weak")


def _bound(estimate: Estimate | None) -> Value:
    bound = None if estimate is None else estimate.bound_us
    return number(wording.milliseconds(bound), bound)


def _errors(row: Row, m: Pooled | None, notes: Notes) -> Value:
    if m is None:
        return number(wording.NOTHING, None)
    wrong = m.errors.get(WRONG_ANSWER, 0)
    total = sum(m.errors.values()) - wrong
    parts = [f"{_many(m, kind)} {wording.clean(kind)} ({_first(m, kind)})" for kind, many in sorted(m.errors.items()) if many]
    parts += [f"{wording.count(m.unsent)} due but never sent"] if m.unsent else []
    if not parts:
        return number("0", 0)
    reference = notes.refer(f"{row.label}: {'; '.join(parts)}.")
    shown = [wording.count(total)] if total or not wrong else []
    shown += [_many(m, WRONG_ANSWER)] if wrong else []
    return number(f"{', '.join(shown)} {reference}", total + wrong, "bad" if total + wrong else "weak")


def _many(m: Pooled, kind: str) -> str:
    """Only a sample of the replies is compared with the source model's."""
    many = wording.count(m.errors[kind])
    return f"{many} of {wording.count(max(m.sampled, m.errors[kind]))} sampled" if kind == WRONG_ANSWER else many


def _first(m: Pooled, kind: str) -> str:
    text = wording.clean(m.error_texts.get(kind, ""))
    return f"first: {text}" if text else "no text kept"


def parity(verdict: Parity, subject: str, notes: Notes) -> Value:
    """The verdict with the largest absolute difference, or a quantised artifact's agreement; a failure points to its reason."""
    text = f"{'pass' if verdict.passed else 'FAIL'} {verdict.agreement or wording.difference(verdict.max_abs)}"
    if verdict.passed:
        return Value(text, verdict.max_abs, "good")
    return Value(f"{text} {notes.refer(f'{subject}: {wording.clean(verdict.reason)}.')}", float("inf"), "bad")


def artifact_parity(manifest: Manifest, subject: str, notes: Notes) -> Value:
    """The gate's verdict; of a file that was served as given there is no source to compare with."""
    if manifest.framework == GIVEN and manifest.parity.passed:
        return Value("as given", manifest.parity.max_abs, "weak")
    return parity(manifest.parity, subject, notes)


def _verdict(row: Row, notes: Notes) -> Value:
    if row.verdict == "VALID":
        found = recovery(row.cell)
        return Value(f"VALID {notes.refer(f'{row.label}: {found}.')}" if found else "VALID", mark="good")
    reasons = "; ".join(wording.clean(reason) for reason in row.reasons)
    return Value(f"INVALID {notes.refer(f'{row.label}: INVALID: {reasons}.')}", mark="bad")


_CONDITIONS = (
    *(
        "row",
        "load",
        "window",
        "cut: start",
        "cut: end",
        "connections",
        "client CPU",
        "client late",
        "target CPU",
        "others' CPU",
        "stolen",
        "p99.9 ms",
        "p99.9 at most",
        "max ms",
    ),
    *("p99 from send", "reply", "threads", "ready after", "launcher", "live check"),
)


def conditions(groups: list[Group]) -> Table:
    """How each row was measured: the window, the client's own state, and the far tail."""
    notes = Notes()
    lines = tuple(_conditions(group, row, notes) for group in groups for row in group.rows)
    return Table(
        title="How each row was measured",
        columns=columns(_CONDITIONS, numeric=[title for title in _CONDITIONS if title not in {"row", "load", "launcher", "live check"}]),
        lines=lines,
        intro="Client CPU near 100% means that the load process, not the server, was the limit. "
        "'Client late' is how late its event loop got round to a ticker, at the 99th percentile. CPU is in cores, 'stolen' in shares. "
        f"{FEW} marks a percentile of too few replies (p99.9 needs {minimum_samples(P999):,}). "
        "'p99 from send' counts from when the request left; the p99 above counts from when it was due. "
        "The live check compared the server's answers with the source model's (of a quantised artifact: with its own), before the load. "
        "'At most' is a distribution-free bound at 95% that supposes independent replies. "
        "Connections are those that were open when the window began. "
        "Of several rounds: windows and replies together, the longest cut, the busiest client.",
        empty="Nothing was measured.",
        notes=tuple(notes.texts),
    )


def _around(m: Pooled | None) -> list[Value]:
    around = m.around if m else None
    late = around.hub_lag_p99_us if around else None
    shares = (around.target_cpu, around.other_cpu, around.stolen_cpu) if around else (None, None, None)
    late_text = wording.NOTHING if late is None else f"{wording.milliseconds(round(late))} ms"
    return [number(late_text, late), *(number(wording.NOTHING if each is None else wording.share(each), each) for each in shares)]


def _start(row: Row, m: Pooled | None, notes: Notes) -> Value:
    """The cut at the start. A warm-up that did not become steady voids nothing: the window is judged by itself."""
    if m is None or not m.unsteady_warmup_s:
        return number(wording.seconds(m.cut_s[0] if m else None), m.cut_s[0] if m else None)
    which = f" in {len(m.unsteady_warmup_s)} of {len(row.rounds)} rounds" if len(row.rounds) > 1 else ""
    ended = f"the warm-up ended after {wording.seconds(max(m.unsteady_warmup_s))} without being steady{which}"
    return number(f"{wording.seconds(m.cut_s[0])} {notes.refer(f'{row.label}: {ended}.')}", m.cut_s[0], "weak")


def _connections(row: Row, m: Pooled | None, notes: Notes) -> Value:
    """Those that were open when the window began; how many were opened in it, in a note."""
    if m is None:
        return number(wording.NOTHING, None)
    if not m.opened_in_window:
        return number(wording.count(m.connections), m.connections)
    many = f"{wording.count(m.opened_in_window)} connection{'s were' if m.opened_in_window > 1 else ' was'}"
    reference = notes.refer(f"{row.label}: {many} opened again in the window: connecting is in the latency.")
    return number(f"{wording.count(m.connections)} {reference}", m.connections, "weak")


def _conditions(group: Group, row: Row, notes: Notes) -> Line:
    m, target = row.pooled, row.cell.target
    return line(
        row.label,
        f"{group.profile}, {group.encoding}",
        number(wording.seconds(m.window_s if m else None), m.window_s if m else None),
        _start(row, m, notes),
        number(wording.seconds(m.cut_s[1] if m else None), m.cut_s[1] if m else None),
        _connections(row, m, notes),
        number(wording.share(m.client_cpu) if m else wording.NOTHING, m.client_cpu if m else None),
        *_around(m),
        _percentile(row.p999),
        _bound(row.p999),
        number(wording.milliseconds(row.latency.max_us if row.latency else None), row.latency.max_us if row.latency else None),
        _percentile(row.service_p99),
        number(wording.size(row.cell.reply_bytes), row.cell.reply_bytes),
        number(str(target.threads), target.threads),
        number(wording.seconds(target.ready_s), target.ready_s),
        wording.clean(target.launcher),
        parity(row.cell.live_check, f"{row.label}, live check", notes),
        dimmed=not row.usable,
    )
