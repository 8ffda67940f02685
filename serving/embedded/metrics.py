"""Counters and histograms under TF Serving's names, written in Prometheus' text form (util.cc, prometheus_exporter.cc)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict

PATH = "/monitoring/prometheus/metrics"

REQUEST_COUNT = "/tensorflow/serving/request_count"
REQUEST_LATENCY = "/tensorflow/serving/request_latency"
RUNTIME_LATENCY = "/tensorflow/serving/runtime_latency"
EXAMPLE_COUNTS = "/tensorflow/serving/request_example_counts"
EXAMPLE_TOTAL = "/tensorflow/serving/request_example_count_total"

_MICROSECONDS = [10 * 1.8**k for k in range(33)]
_EXAMPLES = [2.0**k for k in range(15)]
_HISTOGRAMS = {
    REQUEST_LATENCY: (("model_name", "API", "entrypoint"), _MICROSECONDS),
    RUNTIME_LATENCY: (("model_name", "API", "runtime"), _MICROSECONDS),
    EXAMPLE_COUNTS: (("model",), _EXAMPLES),
}
_COUNTERS = {REQUEST_COUNT: ("model_name", "status"), EXAMPLE_TOTAL: ("model",)}

_Labels = tuple[str, ...]


class _Histogram:
    def __init__(self, limits: list[float]) -> None:
        self.buckets = [0] * (len(limits) + 1)
        self.sum = 0.0


class Metrics:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, defaultdict[_Labels, int]] = {name: defaultdict(int) for name in _COUNTERS}
        self._histograms: dict[str, dict[_Labels, _Histogram]] = {name: {} for name in _HISTOGRAMS}

    def request(self, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """A request is over. Latency is kept for successes only."""
        with self._lock:
            self._counters[REQUEST_COUNT][model, status] += 1
            if status == "OK":
                self._observe(REQUEST_LATENCY, (model, api, entrypoint), seconds * 1e6)

    def runtime(self, model: str, api: str, seconds: float) -> None:
        with self._lock:
            self._observe(RUNTIME_LATENCY, (model, api, "TF1"), seconds * 1e6)

    def examples(self, model: str, count: int) -> None:
        with self._lock:
            self._observe(EXAMPLE_COUNTS, (model,), count)
            self._counters[EXAMPLE_TOTAL][(model,)] += count

    def _observe(self, name: str, labels: _Labels, value: float) -> None:
        limits = _HISTOGRAMS[name][1]
        histogram = self._histograms[name].get(labels)
        if histogram is None:
            histogram = self._histograms[name][labels] = _Histogram(limits)
        histogram.buckets[bisect_left(limits, value)] += 1
        histogram.sum += value

    def total(self, name: str) -> int | None:
        """The sum of a counter over all its labels; None for an unknown name."""
        with self._lock:
            return sum(self._counters[name].values()) if name in self._counters else None

    def page(self) -> bytes:
        lines: list[str] = []
        with self._lock:
            for name, (keys, limits) in sorted(_HISTOGRAMS.items()):
                shown = name.replace("/", ":")
                lines.append(f"# TYPE {shown} histogram")
                for labels, histogram in sorted(self._histograms[name].items()):
                    lines += _histogram_lines(shown, _joined(keys, labels), limits, histogram)
            for name, keys in sorted(_COUNTERS.items()):
                shown = name.replace("/", ":")
                lines.append(f"# TYPE {shown} counter")
                lines += [f"{shown}{{{_joined(keys, labels)}}} {value}" for labels, value in sorted(self._counters[name].items())]
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _joined(keys: _Labels, values: _Labels) -> str:
    return ",".join(f'{key}="{_escaped(value)}"' for key, value in zip(keys, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _histogram_lines(name: str, labels: str, limits: list[float], histogram: _Histogram) -> list[str]:
    lines, cumulative = [], 0
    for limit, count in zip([f"{x:g}" for x in limits] + ["+Inf"], histogram.buckets, strict=True):
        cumulative += count
        lines.append(f'{name}_bucket{{{labels},le="{limit}"}} {cumulative}')
    return [*lines, f"{name}_sum{{{labels}}} {histogram.sum:g}", f"{name}_count{{{labels}}} {cumulative}"]
