"""TF Serving's behaviour as data: every case of `cases/`, through a real process and real sockets."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from serveoff.wire import tfs_pb2 as pb

REST = ("row", "columnar", "syntax", "dtypes", "texts", "replies", "examples", "urls", "mixed")

_MESSAGES: dict[str, tuple[Any, Any]] = {
    "Predict": (pb.PredictRequest, pb.PredictResponse),
    "Classify": (pb.ClassificationRequest, pb.ClassificationResponse),
    "Regress": (pb.RegressionRequest, pb.RegressionResponse),
    "MultiInference": (pb.MultiInferenceRequest, pb.MultiInferenceResponse),
    "GetModelMetadata": (pb.GetModelMetadataRequest, pb.GetModelMetadataResponse),
    "GetModelStatus": (pb.GetModelStatusRequest, pb.GetModelStatusResponse),
    "HandleReloadConfigRequest": (pb.ReloadConfigRequest, pb.ReloadConfigResponse),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rest_case" in metafunc.fixturenames:
        found = [(area, case) for area in REST for case in load(area)]
        metafunc.parametrize("rest_case", [case for _, case in found], ids=[f"{area}: {case['name']}" for area, case in found])
    if "grpc_case" in metafunc.fixturenames:
        found = [("grpc", case) for case in load("grpc")]
        metafunc.parametrize("grpc_case", [case for _, case in found], ids=[str(case["name"]) for _, case in found])


def load(area: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = runpy.run_path(str(Path(__file__).parent / "cases" / f"{area}.py"))["CASES"]
    return found


def test_there_are_enough_cases() -> None:
    assert sum(len(load(area)) for area in (*REST, "grpc")) >= 300


@pytest.mark.integration
def test_rest(shared: Any, rest_case: dict[str, Any]) -> None:
    body = rest_case["body"]
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, headers, reply = shared.http(rest_case.get("verb", "POST"), rest_case.get("path", f"/v1/models/{rest_case.get('url')}"), data)
    assert status == rest_case.get("status", 200), reply
    if "contains_raw" in rest_case:
        assert rest_case["contains_raw"] in reply
        return
    assert headers["content-type"] == "application/json"
    if "reply" in rest_case:
        assert reply == rest_case["reply"]
    elif "json" in rest_case:
        assert json.loads(reply) == rest_case["json"]
    else:
        error = json.loads(reply)["error"]
        if "error" in rest_case:
            assert error == rest_case["error"]
        else:
            assert rest_case["contains"] in error
        assert len(error) <= rest_case.get("longest", len(error))


@pytest.mark.integration
def test_grpc(shared: Any, grpc_case: dict[str, Any]) -> None:
    request, reply = _MESSAGES[grpc_case["method"].rpartition("/")[2]]
    data = text_format.Parse(grpc_case["request"], request()).SerializeToString()
    if "reply" in grpc_case:
        assert reply.FromString(shared.call(grpc_case["method"], data)) == text_format.Parse(grpc_case["reply"], reply())
        return
    with pytest.raises(grpc.RpcError) as caught:
        shared.call(grpc_case["method"], data)
    assert caught.value.code().name == grpc_case["code"]
    if "details" in grpc_case:
        assert caught.value.details() == grpc_case["details"]
    else:
        assert grpc_case["contains"] in caught.value.details()
