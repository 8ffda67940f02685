"""VALID or INVALID: may anybody believe this number? Pure functions; every reason is a sentence for the report.

Two kinds of reasons: what the target did (an error, a wrong answer, too slow for the rate) will be the same the next time; what happened
around it (the client was the limit, a neighbour was busy) may not, so such a round is worth repeating.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serveoff.results import WRONG_ANSWER, Measurement
from serveoff.surroundings import Surroundings

LARGEST_ERROR_SHARE = 0.001
SMALLEST_DELIVERED_SHARE = 0.999
"""What was never sent has no latency, and would have had the longest: a p99 without it is too low."""
FEWEST_REPLIES = 20
"""A median has 10 of them on either side. What a tail needs is asked of all rounds together: the report marks it, and claims nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on what happened around a measurement makes it void. CPU in cores."""

    client_cpu: float
    """Mean of the window. Above 0.9 of a core Locust itself warns that the client is the limit."""
    client_cpu_peak: float
    """The busiest second."""
    hub_lag_ms: float
    """The client's event loop may be late by this, at its 99th percentile ..."""
    hub_lag_share: float
    """... or by this share of the median latency, whichever is larger."""
    other_cpu: float
    """Strangers may use this much; more is harm where it was taken from this measurement, as `waiting` or `idle_cpu` says."""
    idle_cpu: float
    """Less than this was left over. Asked only where the kernel does not count what `waiting` is about."""
    stolen_cpu: float
    waiting: float = float("inf")
    """The threads of target and load spent at least this share of their time waiting for a free core."""
    others_awake: float = float("inf")
    """Another target, which should have been paused, used more cores than this."""


STRICT = Limits(
    client_cpu=0.8,
    client_cpu_peak=0.8,
    hub_lag_ms=1,
    hub_lag_share=0.1,
    other_cpu=0.1,
    waiting=0,
    idle_cpu=float("inf"),
    stolen_cpu=0.01,
    others_awake=0.01,
)
"""For a quiet machine of one's own: DESIGN section 6, and the gates that were in force when its reference numbers were measured
(they kept 35 of 42 runs on two quiet cores)."""
USUAL = Limits(
    client_cpu=0.9,
    client_cpu_peak=1.1,
    hub_lag_ms=20,
    hub_lag_share=0.5,
    other_cpu=0.1,
    waiting=2 / 3,
    idle_cpu=0.5,
    stolen_cpu=0.2,
    others_awake=0.1,
)
"""Only what clearly harms, so that a shared two-core machine can meet it. Measured on one (two cores, closed loop of 8, a 2 ms server):
left alone the event loop is 0.3 to 2 ms late; a time slice of a neighbour is 3 to 4 ms; with a core burned beside it 10 to 20 ms late, and
the threads wait 0.7 to 0.9 of their time. Where they wait twice as long as they run, a figure is more of the neighbours than of the
target. What lies below widens the intervals over the rounds. All of it is recorded, whatever the limits."""


def reasons(measurement: Measurement, wrong: Sequence[str] = ()) -> list[str]:
    """What the target did that makes a measurement INVALID. `wrong` are the sampled answers that were not the source model's."""
    found = []
    if wrong:
        found.append(f"{WRONG_ANSWER} under load: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""))
    failed = {kind: count for kind, count in measurement.errors.items() if kind != WRONG_ANSWER}
    errors, requests = sum(failed.values()), measurement.requests
    if errors == requests:
        found.append("no successful reply")
    elif requests - errors < FEWEST_REPLIES:
        found.append(f"too few samples: {requests - errors} good replies, a median needs {FEWEST_REPLIES}")
    if errors > LARGEST_ERROR_SHARE * requests:
        worst = max(failed, key=lambda kind: failed[kind])
        text = measurement.error_texts.get(worst, "")
        most = f"most of them {worst}" if len(failed) > 1 else worst
        found.append(f"{errors} of {requests} requests failed ({errors / requests:.1%}): {most}" + (f", first {text}" if text else ""))
    offered = requests + measurement.unsent
    if measurement.unsent and requests < SMALLEST_DELIVERED_SHARE * offered:
        found.append(
            f"only {requests} of {offered} requests that were due could be sent ({requests / offered:.1%}): the rate is too high here"
        )
    return found


def disturbances(measurement: Measurement, median_ms: float, limits: Limits = USUAL) -> list[str]:
    """What happened around a measurement that makes it void. `median_ms` is its median latency."""
    found = []
    if measurement.client_cpu > limits.client_cpu:
        found.append(f"the load process used {measurement.client_cpu:.0%} of a core: it is the client that was measured")
    around = measurement.surroundings
    if around is None:
        return found
    if around.client_cpu_peak > limits.client_cpu_peak:
        found.append(f"the load process used {around.client_cpu_peak:.0%} of a core in its busiest second")
    lag_ms, allowed_ms = around.hub_lag_p99_us / 1000, max(limits.hub_lag_ms, limits.hub_lag_share * median_ms)
    if lag_ms > allowed_ms:
        found.append(f"the client reacted {lag_ms:,.1f} ms late at its 99th percentile, allowed is {allowed_ms:,.1f} ms: it was held up")
    for name, cores in around.others_awake.items():
        if cores > limits.others_awake:
            found.append(f"another target was awake: {name} used {cores:.2f} cores while this one was measured")
    return found + _neighbours(around, limits)


def _neighbours(around: Surroundings, limits: Limits) -> list[str]:
    found = []
    other, idle, waiting, stolen = around.other_cpu, around.idle_cpu, around.waiting, around.stolen_cpu
    if other is not None and idle is not None and other > limits.other_cpu:
        if waiting is not None and waiting >= limits.waiting:
            found.append(f"other processes used {other:.2f} cores, and this measurement spent {waiting:.0%} of its time waiting for one")
        elif waiting is None and idle < limits.idle_cpu:
            found.append(f"other processes used {other:.2f} cores, and {idle:.2f} were left over: they took CPU time from this measurement")
    if stolen is not None and stolen > limits.stolen_cpu:
        found.append(f"the hypervisor took {stolen:.1%} of the CPU time for others")
    return found
