"""The tolerance table: what each precision may differ from the source model, and where the numbers come from.

A quantised variant, and one in bfloat16, is judged by the task metric and by its decisions (top-1), since its values are other values by
design. What a server answers with it is compared with the artifact's own answers, as the gate accepted them: against the source a wrong
server could hide.
"""

from __future__ import annotations

import msgspec

from serveoff.contract import Tolerance

FLOAT32 = Tolerance(
    atol=1e-4,
    rtol=1e-4,
    source="float32 in another engine: sums in another order; of the largest output 2e-5 at most, measured over eight architectures, "
    "times five",
)

FLOAT16 = Tolerance(
    atol=5e-2,
    rtol=1e-2,
    source="weights with 11 bits (TFLite computes in float32): measured 1e-2 at most over eight architectures, times five",
    minimum_equal=0.99,
)
"""Whole numbers: 7 of 1024 words of GNMT were others, chosen by a hair from thousands."""

INT8 = Tolerance(
    atol=FLOAT32.atol,
    rtol=FLOAT32.rtol,
    source="int8, judged by decisions: 99 % of the accuracy lets 1 right row in 100 change, and wrong rows may change, too",
    minimum_top1=0.95,
    minimum_kappa=0.4,
)
"""kappa: with random weights honest int8 has 0.5 (GNMT's words) to 0.95; calibrated on noise 0 to 0.28, though where most rows decide
alike 95 % of them agree (BERT-Tiny), since an answer that is always the same agrees, too.
"""

BFLOAT16 = Tolerance(
    atol=FLOAT32.atol,
    rtol=FLOAT32.rtol,
    source="bfloat16 has 8 bits, judged by decisions: 95 % and a kappa of 0.94 measured at least, over six architectures",
    minimum_top1=0.95,
    minimum_kappa=0.8,
)
"""digits, AlexNet, VGG-19, ResNet-50, BERT-Tiny, NCF. Where one of their layers was negated, or its units changed places, kappa was 0.34 at
most (BERT-Tiny), though 92 % of the rows decided alike: nearly all of them decide for one class. SavedModel is alike; but VGG-19 at 32
pixels has 94 % and 0.83 there, ResNet-50 at 32 pixels 94 % and 0.94, both with random weights.
"""

DRAWN_TOP1, DRAWN_NEAREST = 0.4, 0.7
"""Random weights: the largest values of a row lie so close that honest int8 moves them (47 % of GNMT's words stay, 12 % of MobileNetV2's).

A deep network of random weights makes much of little: its int8 answers are wide of the mark, and yet nearest to the answer that they should
be (77 % measured at least, at 12 to 33 % top-1; in bfloat16 with a layer negated 17 % at most). Chance is far below.
"""

DRAWN_FLOAT16 = 2.5e-1
"""For the same reason: MobileNetV2 with random weights at 64 pixels differs by 0.1."""

DRAWN_BFLOAT16 = msgspec.structs.replace(
    BFLOAT16,
    minimum_top1=DRAWN_TOP1,
    minimum_kappa=0.6,
    minimum_nearest=0.95,
    source="bfloat16 has 8 bits, random weights, whose rows decide by a hair: 54 % measured, or all nearest to their own row's answer",
)
"""54 %: the best place among GNMT's scores; 78 % of its words stay. MobileNetV2's rows (42 %) are all nearest to their own row's answer. Of
what was broken in the same way no more than 27 % were nearest, and kappa was 0.43 at most; but for one of 14 SavedModels, ResNet-50 with
the units of one of its 16 branches shuffled, which passes (all nearest, kappa 0.32).
"""


def drawn(tolerance: Tolerance) -> Tolerance:
    """The criterion for random weights, drawn from a seed. Weights that somebody trained are not judged by it, labels or not."""
    if tolerance == BFLOAT16:
        return DRAWN_BFLOAT16
    if tolerance == FLOAT16:
        source = "weights with 11 bits, random weights, which make much of little: measured 0.1 at most, times two and a half"
        return msgspec.structs.replace(tolerance, atol=DRAWN_FLOAT16, source=source)
    if tolerance.minimum_top1 is None:
        return tolerance
    return msgspec.structs.replace(
        tolerance,
        minimum_top1=DRAWN_TOP1,
        minimum_nearest=DRAWN_NEAREST,
        source="random weights, whose rows decide by a hair: 47 % measured, or 77 % nearest to their own row's answer",
    )


_LEAST_EXTENT = 1e-3
"""Below it outputs may be what is left of larger values that cancel, whose rounding they have."""


def scaled(tolerance: Tolerance, extent: float) -> Tolerance:
    """For outputs that do not reach 1 (`extent`: their largest absolute value): a thousand probabilities would all be within `atol`."""
    return msgspec.structs.replace(tolerance, atol=tolerance.atol * min(1.0, max(extent, _LEAST_EXTENT)))


FEWEST_EQUAL = 0.98
"""Of the whole numbers that a server answers with: where the batch size moves none, another build's rounding may move one."""


def served(tolerance: Tolerance, spread: float, extent: float, other: float | None = None) -> Tolerance:
    """What a server's answers may differ from the artifact's own.

    `spread`: the largest difference that the batch size makes (one scale for a whole batch in dynamic int8). `extent`: from its smallest to
    its largest answer; another build of the same kernels may round a step of 8 bits the other way. `other`: the largest share of a row's
    whole numbers that the batch size makes others, where it has any: a sentence whose first word is another one goes on from there.
    """
    step = extent / 255
    return Tolerance(
        atol=tolerance.atol + 2 * max(spread, step),
        rtol=tolerance.rtol,
        source=f"its own answers: twice what the batch size makes ({spread:.2g}) or one step of 8 bits ({step:.2g})",
        minimum_equal=None if other is None else min(FEWEST_EQUAL, 1 - other),
    )
