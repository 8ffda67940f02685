from __future__ import annotations

from types import SimpleNamespace

import msgspec

from report.proofs import proofs
from serveoff.contract import Parity, ParityCheck, Tolerance


def test_every_comparison_is_shown_with_its_evidence(make: SimpleNamespace) -> None:
    tolerance = Tolerance(atol=1e-4, rtol=1e-4, source="this test", minimum_top1=0.95, minimum_kappa=0.4)
    good = ParityCheck(
        case="samples, batch 8",
        output="y",
        batch=24,
        max_abs=0.25,
        max_rel=0.5,
        max_ulp=3e6,
        top1=1.0,
        kappa=0.5,
        worst_row=17,
        passed=True,
    )
    edge = msgspec.structs.replace(good, case="out of range", top1=0.0, kappa=None, form_only=True)
    bad = ParityCheck(case="all black", output="y", batch=2, max_abs=None, max_rel=None, passed=False, reason="NaN or infinity")
    manifest = msgspec.structs.replace(
        make.manifest("keras", "tflite", precision="int8"), parity=Parity(tolerance=tolerance, checks=(good, edge, bad))
    )
    table = proofs({manifest.id: manifest.parity})
    criterion = "top-1 agreement of 95%, kappa 0.4"
    first, second, third = ([value.text for value in line.values] for line in table.lines)
    shown = ["samples, batch 8", "y", "24", "2.5e-1", "5.0e-1", "3.0e6", "100%", "0.50", "-", "17", f"{criterion} [1]", "pass"]
    assert first == ["digits_cnn.keras.tflite.int8", *shown]
    assert second[1:] == ["out of range", *shown[1:6], "0.0%", "-", "-", "17", "shape, type and NaN", "pass"]
    assert third[1:] == ["all black", "y", "2", *["-"] * 7, f"{criterion} [1]", "FAIL [2]"]
    assert table.notes == (f"{criterion}: this test.", "NaN or infinity.")
