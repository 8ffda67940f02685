"""Several load processes, one load: their records and facts as one process would have written them. Nothing is averaged or sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from .handover import Facts
from .measure import Records, join


def rebased(part: tuple[Records, Facts], window_start_ns: int) -> tuple[Records, Facts]:
    """The same on another clock: one on which its window opens at that moment. Every duration stays what it was, to the nanosecond."""
    raw, facts = part
    shift_ns = window_start_ns - facts.window_start_ns
    moved = {name: getattr(facts, name) + shift_ns for name in ("start_ns", "window_start_ns", "window_end_ns", "end_ns")}
    records = replace(raw, due_ns=raw.due_ns + shift_ns, sent_ns=raw.sent_ns + shift_ns, done_ns=raw.done_ns + shift_ns)
    return records, msgspec.structs.replace(facts, **moved)


def merge(parts: Sequence[tuple[Records, Facts]]) -> tuple[Records, Facts]:
    """All records in order of completion. CPU and event loop are those of the worst process: a merged tail may be one bad client's."""
    facts = [f for _, f in parts]
    classes = tuple(dict.fromkeys(kind for f in facts for kind in f.error_classes))
    texts = {kind: f.error_texts[kind] for f in reversed(facts) for kind in f.error_texts}
    first = facts[0]
    merged = Facts(
        start_ns=min(f.start_ns for f in facts),
        window_start_ns=first.window_start_ns,
        window_end_ns=first.window_end_ns,
        end_ns=max(f.end_ns for f in facts),
        open_loop=first.open_loop,
        unsent=sum(f.unsent for f in facts),
        connections=sum(f.connections for f in facts),
        error_classes=classes,
        error_texts={kind: texts[kind] for kind in classes if kind in texts},
        cpu=max(f.cpu for f in facts),
        cpu_peak=max(f.cpu_peak for f in facts),
        hub_lag_p99_us=max(f.hub_lag_p99_us for f in facts),
        waited=None if any(f.waited is None for f in facts) else sum(f.waited or 0.0 for f in facts),
        cores=None if any(f.cores is None for f in facts) else tuple(sorted({core for f in facts for core in f.cores or ()})),
        warmed_up=all(f.warmed_up for f in facts),
        opened_in_window=None if any(f.opened_in_window is None for f in facts) else sum(f.opened_in_window or 0 for f in facts),
    )
    return join([raw.recoded([0, *(classes.index(kind) + 1 for kind in f.error_classes)]) for raw, f in parts]), merged
