"""Server-side batching: the same answers, fewer runs, and the refusals of TF Serving's scheduler."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration


def begin(start: Any, kit: Any, tmp_path: Path, parameters: str, *models: str) -> Any:
    for name in models:
        kit.write_model(tmp_path / name, name)
    file = tmp_path / "batching.txt"
    file.write_text(parameters)
    config = tmp_path / "models.config"
    config.write_text(kit.config_text({name: tmp_path / name for name in models}))
    return start(f"--model_config_file={config}", "--enable_batching", f"--batching_parameters_file={file}")


def send_together(server: Any, path: str, bodies: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    gate = threading.Barrier(len(bodies))

    def send(body: dict[str, Any]) -> tuple[int, Any]:
        data = json.dumps(body).encode()
        gate.wait()
        reply: tuple[int, Any] = server.post(path, data)
        return reply

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, bodies))


def test_calls_run_together_and_get_their_own_answers(start: Any, kit: Any, tmp_path: Path) -> None:
    server = begin(start, kit, tmp_path, "max_batch_size { value: 64 } batch_timeout_micros { value: 300000 }", "counts")
    bodies = [{"inputs": [float(i), i + 0.5][: 1 + i % 2]} for i in range(12)]
    replies = send_together(server, "counts:predict", bodies)
    assert [status for status, _ in replies] == [200] * 12
    assert [reply["outputs"]["x"] for _, reply in replies] == [body["inputs"] for body in bodies]
    assert max(reply["outputs"]["rows"][0] for _, reply in replies) >= 6


def test_a_full_batch_does_not_wait(start: Any, kit: Any, tmp_path: Path) -> None:
    server = begin(start, kit, tmp_path, "max_batch_size { value: 4 } batch_timeout_micros { value: 60000000 }", "counts")
    replies = send_together(server, "counts:predict", [{"inputs": [1.0]}] * 4)
    assert [reply["outputs"]["rows"] for _, reply in replies] == [[4]] * 4


def test_batches_are_filled_up_to_an_allowed_size(start: Any, kit: Any, tmp_path: Path) -> None:
    server = begin(start, kit, tmp_path, "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8", "counts")
    assert server.post("counts:predict", b'{"inputs": [1, 2, 3]}')[1]["outputs"] == {"rows": [4, 4, 4], "x": [1.0, 2.0, 3.0]}
    assert server.post("counts:predict", b'{"inputs": [1, 2, 3, 4, 5]}')[1]["outputs"]["rows"] == [8] * 5


def test_large_calls_are_split(start: Any, kit: Any, tmp_path: Path) -> None:
    text = "max_batch_size { value: 100 } enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 }"
    server = begin(start, kit, tmp_path, text, "counts")
    outputs = server.post("counts:predict", json.dumps({"inputs": list(range(10))}).encode())[1]["outputs"]
    assert outputs == {"rows": [4] * 8 + [2] * 2, "x": [float(i) for i in range(10)]}
    status, reply = server.post("counts:predict", json.dumps({"inputs": [0] * 101}).encode())
    assert (status, reply) == (400, {"error": "Task size 101 is larger than maximum input batch size 100"})


def test_refusals(start: Any, kit: Any, tmp_path: Path) -> None:
    text = "max_batch_size { value: 4 } batch_timeout_micros { value: 200000 }"
    server = begin(start, kit, tmp_path, text, "counts", "outputs", "errors")
    assert server.post("counts:predict", b'{"inputs": [1,2,3,4,5]}') == (400, {"error": "Task size 5 is larger than maximum batch size 4"})
    assert server.post("counts:predict", b'{"inputs": 1}')[0] == 400
    assert server.post("counts:predict", b'{"inputs": []}') == (200, {"outputs": {"rows": [], "x": []}})
    assert server.post("errors:predict", b'{"inputs": [1]}') == (400, {"error": "the shapes do not fit"})
    lost = server.post("outputs:predict", b'{"signature_name": "scalar", "inputs": [1]}')
    assert lost == (400, {"error": "Batched output tensor has 0 dimensions"})
    replies = send_together(server, "counts:predict", [{"inputs": [[1.0]]}, {"inputs": [[1.0, 2.0]]}])
    assert [status for status, _ in replies] == [400, 400]
    assert "have different shapes and padding is turned off" in replies[0][1]["error"]
    assert server.post("counts:predict", b'{"inputs": [1]}')[0] == 200


def test_rows_of_unequal_length_can_be_padded(start: Any, kit: Any, tmp_path: Path) -> None:
    text = "max_batch_size { value: 8 } batch_timeout_micros { value: 300000 } pad_variable_length_inputs: true"
    server = begin(start, kit, tmp_path, text, "counts")
    replies = send_together(server, "counts:predict", [{"inputs": [[7.0]]}, {"inputs": [[1.0, 2.0, 3.0]]}])
    assert sorted(reply["outputs"]["x"] for _, reply in replies) == [[[1.0, 2.0, 3.0]], [[7.0, 7.0, 7.0]]]


def test_a_full_queue_refuses(start: Any, kit: Any, tmp_path: Path) -> None:
    text = "max_batch_size { value: 1 } max_enqueued_batches { value: 2 } num_batch_threads { value: 1 }"
    server = begin(start, kit, tmp_path, text, "slow")
    replies = send_together(server, "slow:predict", [{"inputs": [1.0]}] * 8)
    refused = [reply for status, reply in replies if status == 503]
    assert 1 <= len(refused) <= 5
    assert {reply["error"] for reply in refused} == {"The batch scheduling queue to which this task was submitted is full"}
    assert sum(status == 200 for status, _ in replies) == 8 - len(refused)


def test_a_version_brings_its_own_parameters(start: Any, kit: Any, tmp_path: Path) -> None:
    version = kit.write_model(tmp_path / "m", "counts", 1)
    (version / "batching_params.pbtxt").write_text("max_batch_size { value: 3 } allowed_batch_sizes: 3")
    kit.write_model(tmp_path / "n", "counts", 1)
    config = tmp_path / "models.config"
    config.write_text(kit.config_text({"m": tmp_path / "m", "n": tmp_path / "n"}))
    server = start(f"--model_config_file={config}", "--enable_batching", "--enable_per_model_batching_parameters")
    assert server.post("m:predict", b'{"inputs": [1]}')[1]["outputs"]["rows"] == [3]
    assert server.post("n:predict", b'{"inputs": [1]}')[1]["outputs"]["rows"] == [1]


def test_a_call_gives_up_at_its_time_limit(start: Any, kit: Any, tmp_path: Path) -> None:
    kit.write_model(tmp_path / "slow", "slow")
    server = start("--model_name=slow", f"--model_base_path={tmp_path / 'slow'}", "--enable_batching", "--rest_api_timeout_in_ms=200")
    assert server.post("slow:predict", b'{"inputs": [2.0]}') == (504, {"error": "Timed out waiting for notification"})
    assert server.post("slow:predict", b'{"inputs": [0.0]}')[0] in (200, 504)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "Last entry in allowed_batch_sizes must match max_batch_size"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 9 allowed_batch_sizes: 8", "must be monotonically increasing"),
        ("max_batch_size: 8", "Invalid protobuf file"),
        ("colour { value: 8 }", "Invalid protobuf file"),
        ("max_batch_size { value: 0 }", "must be positive"),
    ],
    ids=["last", "order", "no wrapper", "unknown field", "zero"],
)
def test_a_bad_file_is_fatal(start: Any, kit: Any, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "batching.txt"
    file.write_text(text)
    flags = (f"--model_base_path={tmp_path}", "--enable_batching", f"--batching_parameters_file={file}")
    server = start(*flags, wait=False)
    assert server.process.wait(60) == 1
    assert words in server.log.read_text()
