"""What the report says of the client itself."""

from __future__ import annotations

from typing import Any

import msgspec

from report import background
from report.measured import measured
from report.rows import groups
from serveoff.results import Calibration, ClientCost, ProfileChoice, RunResult, Witness


def cost(p50_us: float) -> ClientCost:
    return ClientCost(p50_us=p50_us, reachable_rps=1e6 / p50_us, requests=1000)


def test_the_clients_cost_stands_in_the_report_with_a_note_where_it_changed(recorded_run: RunResult) -> None:
    found = (
        Calibration(protocol="tfs_rest", payload_bytes=349, reply_bytes=80, before=cost(100), after=cost(110)),
        Calibration(protocol="tfs_grpc", payload_bytes=319, reply_bytes=70, before=cost(100), after=cost(210)),
        Calibration(protocol="torchserve_rest", payload_bytes=349, reply_bytes=80, before=cost(100)),
    )
    table = background.client(msgspec.structs.replace(recorded_run, calibrations=found))
    first, changed, interrupted = ([value.text for value in line.values] for line in table.lines)
    assert first == ["tfs_rest", "349 B", "80 B", "100 us", "110 us", "10,000/s", "9,091/s"]
    assert changed[0] == "tfs_grpc[1]"
    assert "2.1 times" in table.notes[0]
    assert len(table.notes) == 1
    assert interrupted[4] == interrupted[6] != "100 us"


def test_a_run_without_it_says_so(recorded_run: RunResult) -> None:
    assert background.client(recorded_run).empty == "It was not measured in this run."


def test_rows_by_another_client_are_labelled(make: Any) -> None:
    seen = make.measurement(make.lognormal(500, 1600, 1), 200.0)
    cell = make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_rest", make.CONSTANT, seen)
    (group,) = groups(make.run([msgspec.structs.replace(cell, client="fasthttp")]))
    assert group.rows[0].label.endswith("over tfs_rest by FastHttpUser")
    table = measured(group)
    column = [c.title for c in table.columns].index("protocol")
    assert table.lines[0].values[column].text == "tfs_rest by FastHttpUser"


def test_the_witnesses_stand_in_the_report_with_their_ratios(recorded_run: RunResult) -> None:
    asked = msgspec.structs.replace(recorded_run, witness=())
    assert background.witness(recorded_run).empty == "None was asked for: `serveoff loadtest --witness`."
    assert background.witness(asked).empty == "None could be heard; Skipped says why."
    one = Witness(
        tool="perf_analyzer",
        target_id="cnn@embedded",
        protocol="tfs_grpc",
        profile=ProfileChoice(name="closed", options={"users": 8}),
        connections=1,
        p50_us=400,
        p99_us=1000,
        throughput_rps=4000,
        ours_p50_us=500,
        ours_p99_us=900,
        ours_rps=3000,
        otherwise="one connection",
    )
    table = background.witness(msgspec.structs.replace(recorded_run, witness=(one,)))
    assert [value.text for value in table.lines[0].values] == [
        *("perf_analyzer[1]", "cnn@embedded over tfs_grpc", "closed, 8 users", "1"),
        *("500 : 400 = 1.25", "900 : 1,000 = 0.90", "3,000 : 4,000 = 0.75"),
    ]
    assert "one connection" in table.notes[0]


def test_the_hosts_of_load_workers_stand_in_the_report(make: Any) -> None:
    seen = make.measurement(make.lognormal(500, 1600, 1), 200.0)
    seen = msgspec.structs.replace(seen, windows_within_us=1234.0, worker_hosts=("b", "a"))
    result = make.run([make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_rest", make.CONSTANT, seen)])
    facts = {line.values[0].text: line.values[1].text for line in background.load(result).lines}
    assert facts["load workers on"] == "a, b"
    assert facts["their windows opened within"] == "1.234 ms"
