"""VALID or INVALID: may anybody believe this number? Pure functions; every reason is a sentence for the report."""

from __future__ import annotations

from collections.abc import Sequence

from serveoff.contract import Measurement

LARGEST_ERROR_SHARE = 0.001
SMALLEST_DELIVERED_SHARE = 0.99
LARGEST_CLIENT_CPU = 0.9
WRONG_ANSWER = "wrong answer"


def reasons(measurement: Measurement, wrong: Sequence[str] = ()) -> list[str]:
    """Why a measurement is INVALID; empty when it is VALID. `wrong` are the sampled answers that were not the source model's."""
    found = []
    if wrong:
        found.append(f"{WRONG_ANSWER} under load: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""))
    failed = {kind: count for kind, count in measurement.errors.items() if kind != WRONG_ANSWER}
    errors, requests = sum(failed.values()), measurement.requests
    if errors == requests:
        found.append("no successful reply")
    if errors > LARGEST_ERROR_SHARE * requests:
        worst = max(failed, key=lambda kind: failed[kind])
        text = measurement.error_texts.get(worst, "")
        found.append(f"{errors} of {requests} requests failed ({errors / requests:.1%}), most with {worst}" + (f": {text}" if text else ""))
    offered = requests + measurement.unsent
    if measurement.unsent and requests < SMALLEST_DELIVERED_SHARE * offered:
        found.append(
            f"only {requests} of {offered} requests that were due could be sent ({requests / offered:.1%}): the rate is too high here"
        )
    if measurement.client_cpu > LARGEST_CLIENT_CPU:
        found.append(f"the load process used {measurement.client_cpu:.0%} of a core: it is the client that was measured")
    return found
