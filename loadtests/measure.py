"""From raw records to a Measurement: pure functions on what the load processes wrote. No rounding before the histogram."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff import storage
from serveoff.results import Interval, Measurement

from .handover import Columns, Facts

if TYPE_CHECKING:
    from serveoff.plugins import Array
else:
    Array = Any

_DTYPES = {"due_ns": "i8", "sent_ns": "i8", "done_ns": "i8", "outcome": "u1", "user": "u2", "reply_bytes": "u4"}
_LARGEST_US = 3_600_000_000
_SIGNIFICANT_FIGURES = 3


@dataclass(frozen=True, slots=True)
class Records:
    """One entry per request, in order of completion: int64 monotonic nanoseconds; uint8 outcome (0 is success); uint16; uint32."""

    due_ns: Array
    sent_ns: Array
    done_ns: Array
    outcome: Array
    user: Array
    reply_bytes: Array

    def where(self, mask: Array) -> Records:
        return Records(*(getattr(self, name)[mask] for name in _DTYPES))

    def recoded(self, codes: Sequence[int]) -> Records:
        """The same records, their outcome `n` now being `codes[n]`."""
        import numpy as np

        return replace(self, outcome=np.array(codes, _DTYPES["outcome"])[self.outcome])

    def __len__(self) -> int:
        return len(self.due_ns)


def join(parts: Sequence[Records]) -> Records:
    """All records of several load processes, in order of completion."""
    import numpy as np

    order = np.argsort(np.concatenate([part.done_ns for part in parts]), kind="stable")
    return Records(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in _DTYPES))


def records(columns: Columns) -> Records:
    import numpy as np

    return Records(*(np.frombuffer(getattr(columns, name), dtype) for name, dtype in _DTYPES.items()))


def save(path: Path, raw: Records, facts: Facts) -> None:
    """A compressed .npz of the arrays, and of `window_ns` (start, end) and `error_classes` that their outcomes index from 1."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        window_ns=np.array([facts.window_start_ns, facts.window_end_ns], np.int64),
        error_classes=np.array(facts.error_classes, np.str_),
        **{name: getattr(raw, name) for name in _DTYPES},
    )
    storage.write_bytes(path, buffer.getvalue())


def measure(raw: Records, facts: Facts, raw_file: str) -> Measurement:
    """What was due in the window and sent in it; throughput counts the successful replies that came in it."""
    window_s = (facts.window_end_ns - facts.window_start_ns) / 1e9
    mine = raw.where((raw.due_ns >= facts.window_start_ns) & (raw.due_ns < facts.window_end_ns))
    good = mine.where(mine.outcome == 0)
    in_window = (raw.done_ns >= facts.window_start_ns) & (raw.done_ns < facts.window_end_ns) & (raw.outcome == 0)
    return Measurement(
        window_s=window_s,
        cut_s=((facts.window_start_ns - facts.start_ns) / 1e9, (facts.end_ns - facts.window_end_ns) / 1e9),
        requests=len(mine),
        errors=_errors(mine, facts.error_classes),
        error_texts=dict(facts.error_texts),
        unsent=facts.unsent,
        offered_rps=(len(mine) + facts.unsent) / window_s if facts.open_loop else None,
        throughput_rps=int(in_window.sum()) / window_s,
        connections=facts.connections,
        opened_in_window=facts.opened_in_window,
        latency_hdr=histogram(good.done_ns - good.due_ns),
        service_hdr=histogram(good.done_ns - good.sent_ns),
        intervals=tuple(_intervals(mine, facts.window_start_ns, window_s)),
        client_cpu=facts.cpu,
        raw=raw_file,
        warmed_up=facts.warmed_up,
    )


def histogram(durations_ns: Array) -> str:
    """An HdrHistogram V2 blob (base64) of microseconds, three significant figures, 1 us to 1 hour."""
    import numpy as np
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, _LARGEST_US, _SIGNIFICANT_FIGURES)
    values, counts = np.unique(np.clip(np.rint(durations_ns / 1000), 1, _LARGEST_US).astype(np.int64), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    blob: bytes = histogram.encode()
    return blob.decode("ascii")


def percentiles_us(blob: str, wanted: Sequence[float]) -> Mapping[float, float]:
    """Percentile (0 to 100) -> microseconds."""
    from hdrh.histogram import HdrHistogram

    percentiles: Mapping[float, float] = HdrHistogram.decode(blob).get_percentile_to_value_dict(list(wanted))
    return percentiles


def _errors(mine: Records, classes: Sequence[str]) -> dict[str, int]:
    counts = ((kind, int((mine.outcome == code).sum())) for code, kind in enumerate(classes, start=1))
    return {kind: count for kind, count in counts if count}


def _intervals(mine: Records, start_ns: int, window_s: float) -> list[Interval]:
    """One per second of the window, by due time; the last may be shorter."""
    import numpy as np

    second = (mine.due_ns - start_ns) // 1_000_000_000
    intervals = []
    for number in range(int(np.ceil(window_s))):
        part = mine.where(second == number)
        good = part.where(part.outcome == 0)
        intervals.append(
            Interval(
                start_s=float(number), requests=len(part), errors=len(part) - len(good), latency_hdr=histogram(good.done_ns - good.due_ns)
            )
        )
    return intervals
