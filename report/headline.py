"""The answer at the top: which row to ship, in words that claim no more than the rounds can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import evidence, wording
from .bootstrap import CAPACITY
from .percentiles import P99, minimum_samples
from .rows import Group, Row

ONE_ROUND = (
    "Each row is one short round, so no claim here has an interval over rounds. A difference is called no evidence when one and the same "
    "run moved by as much between its own two halves, and always below 10%. A larger one is a hint that more rounds must confirm."
)
TWO_ROUNDS = "Where a row has fewer than three valid rounds there is no interval, and no verdict on any difference."
SWEEP = "sweep"
MINIMUM_EFFECT = 0.10
"""The smallest difference that one round is taken to show, however steady it was: restarts and placement move a server by as much."""
SERVER_NOTES = {
    "embedded": "embedded is serveoff's own server: its numbers are not those of TF Serving or TorchServe.",
    "torchserve": "TorchServe is in limited maintenance: its project plans no fixes and no security patches.",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One answer. `answer` is empty when no row can support one; `evidence` are whole sentences."""

    question: str
    answer: str
    figure: str
    evidence: tuple[str, ...]


def claims(groups: list[Group]) -> list[Claim]:
    """One per group: lowest p99 in an open loop, highest throughput in a closed one, highest capacity. A sweep is a curve, no answer."""
    return [_claim(group) for group in groups if group.load != SWEEP]


def _claim(group: Group) -> Claim:
    if group.mixed:
        return Claim(f"{group.model}, {group.encoding}: {group.profile}", "", "", (f"No answer: {group.mixed}",))
    if group.metric is CAPACITY:
        return _highest_capacity(group)
    return _lowest_p99(group) if group.open_loop else _highest_throughput(group)


def caveats(groups: list[Group]) -> list[str]:
    """What holds for every number of the run."""
    rows = [row for group in groups for row in group.rows]
    servers = {row.cell.target.server for row in rows}
    mixed = dict.fromkeys(group.mixed for group in groups if group.mixed)
    said = [evidence.caveat()] if any(group.intervals for group in groups) else []
    if rows and not all(group.intervals for group in groups if group.usable):
        said.append(TWO_ROUNDS if any(row.repeated for row in rows) else ONE_ROUND)
    elif not said:
        said.append(ONE_ROUND)
    void = sum(1 for row in rows if row.verdict == "INVALID")
    if void:
        said.append(f"{void} of {len(rows)} rows are INVALID and support no claim; the reasons stand below their tables.")
    return [*mixed, *said, *(note for server, note in SERVER_NOTES.items() if server in servers)]


def _lowest_p99(group: Group) -> Claim:
    question = f"{group.model}, {group.encoding}: lowest p99 at the same arrival rate ({group.profile})"
    firm = [row for row in group.usable if row.p99 is not None and row.p99.enough]
    if not firm:
        need = f"no VALID row has the {minimum_samples(P99):,} replies that a p99 needs" if group.usable else "no row is VALID"
        return Claim(question, "", "", (f"No answer: {need}.",))
    ranked = sorted(firm, key=_p99)
    best = ranked[0]
    figure = f"p99 {wording.milliseconds(_p99(best))} ms"
    told = evidence.sentences(group, ranked) if group.intervals else _one_round_p99(ranked)
    return Claim(question, best.label, figure, (*told, *_others(ranked, _p99_text), *_left_out(group, ranked)))


def _one_round_p99(ranked: list[Row]) -> list[str]:
    best, noise = ranked[0], _noise([row.drift.p99 if row.drift else None for row in ranked])
    bound = best.p99.bound_us if best.p99 else None
    limit = max(bound or 0, _p99(best) * (1 + noise)) if noise is not None else float("inf")
    first = f"Upper bound of that p99: {wording.milliseconds(bound)} ms (95%, n = {wording.count(best.p99.n if best.p99 else 0)})."
    return [first, *_apart(ranked, lambda row: _p99(row) <= limit, noise, "p99", _p99_text)]


def _highest_throughput(group: Group) -> Claim:
    question = f"{group.model}, {group.encoding}: highest throughput in the closed loop ({group.profile})"
    ranked = sorted(group.usable, key=lambda row: -row.throughput)
    if not ranked:
        return Claim(question, "", "", ("No answer: no row is VALID.",))
    best = ranked[0]
    figure = f"{wording.rate(best.throughput)} replies/s"
    told = evidence.sentences(group, ranked) if group.intervals else _one_round_throughput(ranked)
    return Claim(question, best.label, figure, (*told, *_others(ranked, _rate_text), *_left_out(group, ranked)))


def _one_round_throughput(ranked: list[Row]) -> list[str]:
    best, noise = ranked[0], _noise([row.drift.throughput if row.drift else None for row in ranked])
    limit = best.throughput / (1 + noise) if noise is not None else 0.0
    return _apart(ranked, lambda row: row.throughput >= limit, noise, "throughput", _rate_text)


def _highest_capacity(group: Group) -> Claim:
    question = f"{group.model}, {group.encoding}: highest arrival rate that keeps the objective ({group.profile})"
    ranked = sorted((row for row in group.usable if row.capacity_rps is not None), key=lambda row: -_capacity(row))
    if not ranked:
        return Claim(question, "", "", ("No answer: no VALID row has found one.",))
    best = ranked[0]
    floor = CAPACITY.minimum_effect
    limit = _capacity(best) / (1 + floor)
    told = (
        evidence.sentences(group, ranked)
        if group.intervals
        else _apart(ranked, lambda row: _capacity(row) >= limit, floor, "capacity", _capacity_text)
    )
    figure = f"{wording.rate(_capacity(best))} requests/s"
    return Claim(question, best.label, figure, (*told, *_others(ranked, _capacity_text), *_left_out(group, ranked)))


def _capacity(row: Row) -> float:
    assert row.capacity_rps is not None
    return row.capacity_rps


def _capacity_text(row: Row) -> str:
    return f"{row.label} ({wording.rate(_capacity(row))}/s)"


def _p99(row: Row) -> int:
    assert row.p99 is not None
    return row.p99.value_us


def _p99_text(row: Row) -> str:
    return f"{row.label} ({wording.milliseconds(_p99(row))} ms)"


def _rate_text(row: Row) -> str:
    return f"{row.label} ({wording.rate(row.throughput)}/s)"


def _noise(moves: list[float | None]) -> float | None:
    """The largest move of a run between its halves, but at least the minimum effect; None when a run cannot be compared with itself."""
    known = [move for move in moves if move is not None]
    return max(MINIMUM_EFFECT, *known) if known and len(known) == len(moves) else None


def _apart(ranked: list[Row], close: Callable[[Row], bool], noise: float | None, what: str, text: Callable[[Row], str]) -> list[str]:
    rest = ranked[1:]
    if not rest:
        return ["It is the only row that can be compared here."]
    if noise is None:
        return ["There are fewer than three rounds, and none that can be compared with itself: no difference here is evidence."]
    floor = f"Differences in {what} below {wording.share(noise)} are not evidence here."
    tied = [row for row in rest if close(row)]
    if not tied:
        return [floor, f"Next, and further away than that: {text(rest[0])}."]
    shown = [text(row) for row in tied[:4]] + ([f"{len(tied) - 4} more"] if len(tied) > 4 else [])
    return [floor, f"So it is not told apart from {wording.listed(shown)}."]


def _others(ranked: list[Row], text: Callable[[Row], str]) -> list[str]:
    """Where our own server leads, the best of the servers that people run in production."""
    if not ranked[0].embedded:
        return []
    other = next((row for row in ranked if not row.embedded), None)
    return [f"Best of the other servers: {text(other)}." if other else "No other server has a row that can be compared here."]


def _left_out(group: Group, ranked: list[Row]) -> list[str]:
    left = len(group.rows) - len(ranked)
    return [f"Not considered: {left} of {len(group.rows)} rows (INVALID, not verified or with too few replies)."] if left else []
