"""The tables of what stands behind the numbers: skips, twins, exports, the load and the machine."""

from __future__ import annotations

from collections.abc import Sequence

from serveoff.contract import GIVEN, HostFacts, Manifest, Skip
from serveoff.results import Calibration, RunResult, Witness

from . import weights, wording
from .measured import artifact_parity, parity
from .table import Column, Line, Notes, Table, Value, columns, line, number

AS_GIVEN = " 'As given': served as given; nothing to compare with but itself."


def skipped(skips: Sequence[Skip]) -> Table:
    return Table(
        title="Skipped",
        columns=columns(("stage", "what", "why")),
        lines=tuple(line(wording.clean(s.stage), wording.clean(s.what), wording.clean(s.reason)) for s in skips),
        empty="Nothing was skipped.",
    )


def manifests(result: RunResult) -> list[Manifest]:
    """Of what was measured, each once."""
    found = {cell.manifest.id: cell.manifest for cell in result.cells}
    return [found[name] for name in sorted(found)]


def exports(made: Sequence[Manifest]) -> Table:
    notes = Notes()
    return Table(
        title="Exports",
        columns=(
            *columns(("model", "framework", "format", "precision")),
            Column("export", numeric=True),
            Column("peak memory", numeric=True),
            Column("size", numeric=True),
            Column("parity"),
            Column("tolerance"),
            Column("task metric"),
        ),
        lines=tuple(
            line(
                wording.clean(m.model),
                m.framework,
                wording.clean(m.format),
                wording.clean(m.precision),
                number(wording.seconds(m.export_s), m.export_s),
                number(wording.memory(m.peak_memory_bytes), m.peak_memory_bytes),
                number(wording.size(m.size_bytes), m.size_bytes),
                artifact_parity(m, wording.clean(m.id), notes),
                wording.criterion(m.parity.tolerance),
                _metric(m),
            )
            for m in made
        ),
        intro="Each artifact's answers against its source model's, before anything was served: the largest absolute difference, of a "
        "quantised one the lowest agreement. Each comparison stands under Parity."
        + (AS_GIVEN if any(m.framework == GIVEN for m in made) else ""),
        empty="There is no artifact.",
        notes=tuple(notes.texts),
    )


def _metric(manifest: Manifest) -> Value:
    gate = manifest.parity.metric
    if gate is None:
        return Value("not gated")
    text = f"{wording.clean(gate.name)} {gate.artifact:.4f} of {gate.source:.4f}, at least {100 * gate.minimum_ratio:.4g}% of it"
    return Value(text, mark="good" if gate.passed else "bad")


def twins(result: RunResult) -> Table:
    notes = Notes()
    return Table(
        title="Twins",
        columns=columns(("model", "weights from", "largest difference of the outputs", "tolerance")),
        lines=tuple(
            line(
                wording.clean(t.model),
                wording.clean(t.weights_given) or (t.weights_from if t.trained else f"{t.weights_from}, drawn and not trained"),
                Value(wording.clean(t.unproved) or "built in one framework only")
                if t.parity is None
                else parity(t.parity, f"{wording.clean(t.model)}, twins", notes),
                wording.NOTHING if t.parity is None else wording.criterion(t.parity.tolerance),
            )
            for t in weights.twins(result)
        ),
        intro="One set of weights in both frameworks: only then does the comparison show formats and servers, and not checkpoints.",
        empty="No twin proof of these weights came with this run: rows of different frameworks compare checkpoints too.",
        notes=tuple(notes.texts),
    )


def load(result: RunResult) -> Table:
    plan = result.plan
    facts = [
        ("profiles", "; ".join(wording.profile(choice) for choice in plan.profiles) or "none"),
        ("warm-up, not counted", wording.warm_up(plan)),
        ("time-out of a request", wording.seconds(plan.timeout_s)),
        ("seed", str(plan.seed)),
        ("cores", wording.clean(result.cpu_sets) or "not divided"),
        *_workers(result),
        ("rounds per row", str(plan.rounds)),
        ("measured", f"by turns of at least {wording.seconds(plan.turn_s)}, where rows can be compared" if plan.turn_s else "row by row"),
        ("rounds that were void", str(sum(1 for cell in result.cells if cell.verdict == "INVALID"))),
        ("whole run", wording.seconds(result.seconds)),
    ]
    return Table(title="Load", columns=columns(("setting", "value")), lines=tuple(line(*fact) for fact in facts))


def _workers(result: RunResult) -> list[tuple[str, str]]:
    """Of a load that was dealt out to several hosts."""
    measured = [cell.measurement for cell in result.cells if cell.measurement is not None and cell.measurement.worker_hosts]
    if not measured:
        return []
    hosts = sorted({(*sorted(m.worker_hosts),) for m in measured})
    apart_us = max(m.windows_within_us or 0.0 for m in measured)
    return [
        ("load workers on", "; ".join(wording.clean(", ".join(each)) for each in hosts)),
        ("their windows opened within", f"{wording.milliseconds(round(apart_us))} ms"),
    ]


LARGEST_CHANGE = 1.5
"""Of the client's own cost from before the load to after it; beyond this the machine was not the same."""


def client(result: RunResult) -> Table:
    notes = Notes()
    return Table(
        title="What the client itself costs",
        columns=(
            *columns(("protocol",)),
            Column("sent", numeric=True),
            Column("back", numeric=True),
            Column("p50 before", numeric=True),
            Column("p50 after", numeric=True),
            Column("can send, before", numeric=True),
            Column("can send, after", numeric=True),
        ),
        lines=tuple(_client(one, notes) for one in result.calibrations),
        intro="The same load process, payloads and reply sizes on a server that answers at once: one connection, then eight.",
        empty="It was not measured in this run.",
        notes=tuple(notes.texts),
    )


def _client(one: Calibration, notes: Notes) -> Line:
    name = wording.clean(one.protocol)
    after = one.after
    if after is not None:
        change = after.p50_us / one.before.p50_us
        if not 1 / LARGEST_CHANGE <= change <= LARGEST_CHANGE:
            name += notes.refer(f"{name}: after the load the client cost {change:.1f} times what it did before: the machine had changed.")
    costs = [one.before, after]
    return line(
        name,
        number(wording.size(one.payload_bytes), one.payload_bytes),
        number(wording.size(one.reply_bytes), one.reply_bytes),
        *(number(f"{cost.p50_us:,.0f} us", cost.p50_us) if cost else Value(wording.NOTHING) for cost in costs),
        *(number(f"{cost.reachable_rps:,.0f}/s", cost.reachable_rps) if cost else Value(wording.NOTHING) for cost in costs),
    )


def witness(result: RunResult) -> Table:
    notes = Notes()
    return Table(
        title="Second witness",
        columns=(
            *columns(("witness", "row", "load")),
            Column("connections", numeric=True),
            *(Column(f"{figure}, ours : its", numeric=True) for figure in ("p50 us", "p99 us", "replies/s")),
        ),
        lines=tuple(_witness(one, notes) for one in result.witness or ()),
        intro="Rows once more, each by a client that shares no code with ours. Latency counts from when a request was sent.",
        empty="None was asked for: `serveoff loadtest --witness`." if result.witness is None else "None could be heard; Skipped says why.",
        notes=tuple(notes.texts),
    )


def _witness(one: Witness, notes: Notes) -> Line:
    tool = wording.clean(one.tool)
    pairs = ((one.ours_p50_us, one.p50_us), (one.ours_p99_us, one.p99_us), (one.ours_rps, one.throughput_rps))
    return line(
        tool + (notes.refer(f"{tool}: {wording.clean(one.otherwise)}.") if one.otherwise else ""),
        f"{wording.clean(one.target_id)} over {wording.clean(one.protocol)}",
        wording.profile(one.profile),
        number(str(one.connections), one.connections),
        *(number(f"{ours:,.0f} : {its:,.0f} = {ours / its:.2f}", ours / its) for ours, its in pairs),
    )


def host(result: RunResult) -> Table:
    facts: HostFacts = result.host
    shared = all(end.host in {"127.0.0.1", "localhost", "::1"} for cell in result.cells for end in cell.target.endpoints)
    rows = [
        ("processor", wording.clean(facts.cpu_model)),
        ("logical cores", wording.count(facts.logical_cores)),
        ("memory", wording.memory(facts.memory_bytes)),
        ("system", wording.clean(facts.system)),
        ("Python", wording.clean(facts.python)),
        *((wording.clean(name), wording.clean(version)) for name, version in sorted(facts.packages.items())),
    ]
    return Table(
        title="Machine",
        columns=columns(("fact", "value")),
        lines=tuple(line(*row) for row in rows),
        intro="Servers and load process shared this machine." if shared and result.cells else "The machine of the load process.",
    )
