"""The tolerance table: what each precision may differ from the source model, and where the numbers come from."""

from __future__ import annotations

from serveoff.contract import Tolerance

FLOAT32 = Tolerance(
    atol=1e-4,
    rtol=1e-4,
    source="float32 in another engine: sums in another order; measured 2e-5 at most over eight architectures, times five",
)
