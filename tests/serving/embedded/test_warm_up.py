"""Replay of recorded requests before a version answers."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serveoff import artifacts
from serveoff.selection import Selection
from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb
from serveoff.workspace import Workspace
from serving.embedded import loading, warmup
from serving.embedded.metrics import Metrics
from serving.embedded.servable import Means

pytestmark = pytest.mark.integration


def predict_log(model: str, values: Any) -> pb.PredictionLog:
    log = pb.PredictionLog()
    log.predict_log.request.model_spec.name = model
    tensors.write(log.predict_log.request.inputs["x"], np.asarray(values, np.float32))
    return log


def write_warmup(version: Path, logs: list[pb.PredictionLog]) -> Path:
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    records = [log.SerializeToString() for log in logs]
    file.write_bytes(b"".join(struct.pack("<QI", len(r), 0) + r + b"\0\0\0\0" for r in records))
    return file


def warm(start: Any, kit: Any, tmp_path: Path, model: str, logs: list[pb.PredictionLog], *flags: str, **how: Any) -> Any:
    write_warmup(kit.write_model(tmp_path / model, model), logs)
    return start(f"--model_name={model}", f"--model_base_path={tmp_path / model}", "--max_num_load_retries=0", *flags, **how)


def examples(name: str) -> pb.Input:
    request = pb.Input()
    request.example_list.examples.add().features.feature[name].float_list.value.append(4)
    return request


def test_recorded_requests_are_replayed_before_a_version_answers(start: Any, kit: Any, tmp_path: Path) -> None:
    logs = [
        pb.PredictionLog(regress_log=pb.RegressLog(request=pb.RegressionRequest(input=examples("x")))),
        pb.PredictionLog(classify_log=pb.ClassifyLog(request=pb.ClassificationRequest(input=examples("x")))),
    ]
    logs[1].classify_log.request.model_spec.signature_name = "classify"
    logs.append(pb.PredictionLog())  # a record without a request is passed over
    server = warm(start, kit, tmp_path, "examples", logs)
    assert "Finished reading warmup data" in server.log.read_text()
    assert server.versions("examples") == {"1": "AVAILABLE"}


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (predict_log("errors", [1]), "INVALID_ARGUMENT: the shapes do not fit"),
        (pb.PredictionLog(session_run_log=pb.SessionRunLog()), "UNIMPLEMENTED: Unsupported log_type for warmup: 5"),
    ],
    ids=["the model refuses", "session run"],
)
def test_a_failing_warm_up_fails_the_load(start: Any, kit: Any, tmp_path: Path, log: pb.PredictionLog, words: str) -> None:
    server = warm(start, kit, tmp_path, "errors", [log], wait=False)
    assert server.process.wait(60) == 1
    text = server.log.read_text()
    assert "Failed to start server. Error: UNKNOWN: 1 model(s) did not become available: {" in text
    assert words in text


def test_a_torn_warm_up_file_fails_the_load(start: Any, kit: Any, tmp_path: Path) -> None:
    version = kit.write_model(tmp_path / "half", "half")
    file = write_warmup(version, [predict_log("half", [1])])
    file.write_bytes(file.read_bytes()[:-6])
    flags = ("--model_name=half", f"--model_base_path={tmp_path / 'half'}", "--max_num_load_retries=0")
    server = start(*flags, wait=False)
    assert server.process.wait(60) == 1
    assert "DATA_LOSS" in server.log.read_text()
    server = start(*flags, "--enable_model_warmup=false")
    assert server.versions("half") == {"1": "AVAILABLE"}


def test_our_exporters_requests_are_replayed(exported: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (artifact,) = artifacts.find(exported, Selection(formats=("tflite",)))
    with ThreadPoolExecutor(1) as pool:
        servable = loading.load("digits", 1, artifact.version_dir, loading.LoadOptions(threads=1), Means(pool, Metrics()))
        run, sizes = servable.model.run, []

        def seen(signature: str, inputs: Any) -> Any:
            sizes.append((signature, [len(array) for array in inputs.values()]))
            return run(signature, inputs)

        monkeypatch.setattr(servable.model, "run", seen)
        warmup.replay(servable, artifact.version_dir, iterations=2)
        servable.close()
    assert sizes == [("serving_default", [rows]) for rows in (8, 8, 1, 1)]
