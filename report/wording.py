"""How numbers and foreign text are written, everywhere in the report."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable

from serveoff.contract import Tolerance
from serveoff.results import LoadPlan, ProfileChoice

NOTHING = "-"
"""Shown where there is no value."""

_PREFIXES = ("", "k", "M", "G", "T")


def milliseconds(latency_us: int | None) -> str:
    """Microseconds as milliseconds with microsecond resolution: 412 -> `0.412`."""
    return NOTHING if latency_us is None else f"{latency_us // 1000:,}.{latency_us % 1000:03d}"


def rate(per_second: float | None) -> str:
    """Three digits or more: `98.7`, `812`, `12,345`."""
    if per_second is None:
        return NOTHING
    return f"{per_second:.1f}" if per_second < 99.95 else f"{per_second:,.0f}"


def count(number: int) -> str:
    return f"{number:,}"


def size(number_of_bytes: int) -> str:
    """Decimal units: 999 -> `999 B`, 1234 -> `1.23 kB`."""
    value = float(number_of_bytes)
    step = 0
    while value >= 999.5 and step < len(_PREFIXES) - 1:
        value /= 1000
        step += 1
    return f"{number_of_bytes} B" if step == 0 else f"{value:.3g} {_PREFIXES[step]}B"


def memory(number_of_bytes: int) -> str:
    """Binary units, as memory is sold: `15.6 GiB`."""
    return f"{number_of_bytes / 2**30:.1f} GiB"


def seconds(duration_s: float | None) -> str:
    if duration_s is None:
        return NOTHING
    return f"{duration_s:.2f} s" if duration_s < 10 else f"{duration_s:.1f} s"


def warm_up(plan: LoadPlan) -> str:
    """It ends when the figures are steady: hence two bounds."""
    least, most = seconds(plan.warmup_s), seconds(max(plan.warmup_s, plan.warmup_limit_s))
    return least if least == most else f"{least} to {most}"


def plain(number: float) -> str:
    """As few digits as say the same: 8.0 -> `8`, 0.25 -> `0.25`."""
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


def criterion(tolerance: Tolerance) -> str:
    if tolerance.minimum_top1 is not None:
        or_nearest = "" if tolerance.minimum_nearest is None else f", or {tolerance.minimum_nearest:.0%} nearest"
        beyond_chance = "" if tolerance.minimum_kappa is None else f", kappa {tolerance.minimum_kappa:g}"
        return f"top-1 agreement of {tolerance.minimum_top1:.0%}{beyond_chance}{or_nearest}"
    whole = "" if tolerance.minimum_equal is None else f"; whole numbers: {tolerance.minimum_equal:.0%} equal"
    return f"{tolerance.atol:g} + {tolerance.rtol:g} of the value{whole}"


def difference(absolute: float) -> str:
    """A largest absolute difference: `0`, `1.2e-6`, `nan`."""
    if not math.isfinite(absolute):
        return str(absolute)
    if absolute == 0:
        return "0"
    digits, exponent = f"{absolute:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def share(fraction: float) -> str:
    """A fraction as a percentage: `0.9%`, `12%`."""
    return f"{fraction:.1%}" if fraction < 0.0995 else f"{fraction:.0%}"


def between(low: float, high: float, text: Callable[[float], str]) -> str:
    """An interval; one that is wider than tenfold says nothing, and its ends would look as if they did."""
    return f"{text(low)} to {text(high)}" if high <= 10 * low else "wider than tenfold"


def times(ratio: float, low: float | None = None, high: float | None = None) -> str:
    """A ratio with its interval: `1.53 times, 1.41 to 1.66`; four digits where they tell a ratio from 1."""
    digits = 3 if abs(ratio - 1) < 0.1 else 2
    shown = f"{ratio:.{digits}f} times"
    return shown if low is None or high is None else f"{shown}, {low:.{digits}f} to {high:.{digits}f}"


def profile(choice: ProfileChoice, everything: bool = True) -> str:
    """A load profile in words: `constant, 200/s, 32 connections, 6 s`; without `everything` only what names the load: `constant, 200/s`."""
    known = ("rate_rps", "users")
    minor = ("connections", "duration_s")
    others = sorted(choice.options.keys() - {*known, *minor})
    names = [name for name in (*known, *others, *(minor if everything else ())) if name in choice.options]
    return ", ".join([clean(choice.name), *(_option(name, choice.options[name]) for name in names)])


def profiles(choices: Iterable[ProfileChoice]) -> Callable[[ProfileChoice], str]:
    """The shortest names that tell `choices` apart."""
    distinct: dict[str, set[str]] = {}
    for choice in choices:
        distinct.setdefault(profile(choice, everything=False), set()).add(profile(choice))
    return lambda choice: profile(choice, everything=len(distinct[profile(choice, everything=False)]) > 1)


def _option(name: str, value: float) -> str:
    if name in {"users", "connections"}:
        return f"{plain(value)} {name.removesuffix('s') if value == 1 else name}"
    if name == "rate_rps":
        return f"{plain(value)}/s"
    if name == "duration_s":
        return f"{plain(value)} s"
    if name.endswith("_s"):
        return f"{clean(name.removesuffix('_s'))} {plain(value)} s"
    return f"{clean(name)} {plain(value)}"


def clean(text: str, limit: int = 400) -> str:
    """Foreign text on one line, without characters that a terminal or a page would obey (control codes, direction overrides)."""
    shown = "".join(
        " " if c in "\t\r\n" else "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in {"Cc", "Cf", "Cs"} else c for c in text
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
