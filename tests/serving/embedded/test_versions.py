"""Versions over time: polling, policies, labels, reloads, broken models. Everything is watched from outside."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from serveoff.wire import tfs_pb2 as pb

pytestmark = pytest.mark.integration

NO_RETRY = ("--max_num_load_retries=0", "--load_retry_interval_micros=1")
BODY = json.dumps({"instances": [4.0]}).encode()


def answer(server: Any, path: str = "m") -> float:
    """What the model makes of 8: 6 is `half`, 5 is `third`; 0 when there is no answer."""
    status, reply = server.post(f"{path}:predict", b'{"instances": [8]}')
    return float(reply["predictions"][0]) if status == 200 else 0.0


def reload(server: Any, text: str) -> pb.ReloadConfigResponse:
    config = text_format.Parse(text, pb.ModelServerConfig())
    request = pb.ReloadConfigRequest(config=config, metric_names=["/tensorflow/serving/request_count", "/unknown"])
    data: bytes = server.call("ModelService/HandleReloadConfigRequest", request.SerializeToString())
    reply: pb.ReloadConfigResponse = pb.ReloadConfigResponse.FromString(data)
    return reply


def test_the_newest_version_is_served_and_a_newer_one_takes_over(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", 1)
    kit.write_model(base, "third", 2)
    server = start("--model_name=m", f"--model_base_path={base}")
    assert server.versions("m") == {"2": "AVAILABLE"}
    assert answer(server) == 5
    assert answer(server, "m/versions/1") == 0
    kit.write_model(base, "half", 10)
    kit.eventually(lambda: server.versions("m") == {"10": "AVAILABLE", "2": "END"})
    assert answer(server) == 6
    assert "closed a numpy model" in server.log.read_text()


def test_a_broken_version_never_replaces_a_working_one(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", 1)
    server = start("--model_name=m", f"--model_base_path={base}", *NO_RETRY)
    kit.write_model(base, "broken", 2)
    kit.eventually(lambda: server.versions("m") == {"2": "END", "1": "AVAILABLE"})
    assert answer(server) == 6
    failed = next(row for row in server.get("m")[1]["model_version_status"] if row["version"] == "2")
    assert failed["status"] == {"error_code": "INVALID_ARGUMENT", "error_message": "this model is broken on purpose"}
    (base / "3").mkdir()  # a copy that has only begun
    kit.eventually(lambda: server.versions("m").get("3") == "END")
    assert answer(server) == 6
    kit.write_model(base, "third", 4)
    kit.eventually(lambda: answer(server) == 5)
    kit.eventually(lambda: server.versions("m")["1"] == "END")


def test_a_failed_version_is_tried_again_when_its_folder_comes_back(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", 1)
    server = start("--model_name=m", f"--model_base_path={base}", *NO_RETRY)
    shutil.rmtree(kit.write_model(base, "broken", 2))
    kit.write_model(base, "broken", 2)
    kit.eventually(lambda: server.versions("m").get("2") == "END")
    shutil.rmtree(base / "2")
    failure = {"error_code": "OK", "error_message": ""}
    kit.eventually(lambda: server.get("m/versions/2")[1]["model_version_status"][0]["status"] == failure)
    kit.write_model(base, "third", 2)
    kit.eventually(lambda: answer(server) == 5)


def test_a_load_that_fails_is_retried(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", 1)
    server = start("--model_name=m", f"--model_base_path={base}", "--max_num_load_retries=1000", "--load_retry_interval_micros=100000")
    version = kit.write_model(base, "broken", 2)
    kit.eventually(lambda: "retry 2" in server.log.read_text())
    assert server.versions("m") == {"2": "LOADING", "1": "AVAILABLE"}
    (version / "model.numpy").write_text("third")
    kit.eventually(lambda: answer(server) == 5)


def test_a_version_that_goes_away_is_unloaded_but_a_base_path_that_does_is_not(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", 1)
    kit.write_model(base, "third", 2)
    server = start("--model_name=m", f"--model_base_path={base}")
    shutil.rmtree(base / "2")
    kit.eventually(lambda: server.versions("m") == {"2": "END", "1": "AVAILABLE"})
    assert answer(server) == 6
    base.rename(tmp_path / "elsewhere")
    kit.eventually(lambda: "Could not find base path" in server.log.read_text())
    assert answer(server) == 6
    base.mkdir()
    kit.eventually(lambda: server.versions("m") == {"2": "END", "1": "END"})
    assert server.post("m:predict", BODY) == (404, {"error": "Servable not found for request: Latest(m)"})


def test_folders_that_are_no_versions_are_ignored(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", "00000123")
    for name in ("notes", "12a", "-5", "99999999999999999999", "3.5", " 7"):
        kit.write_model(base, "third", name)
    (base / "500").write_text("a file")
    server = start("--model_name=m", f"--model_base_path={base}")
    assert server.versions("m") == {"123": "AVAILABLE"}
    assert answer(server, "m/versions/123") == 6


def test_policies_and_labels_from_a_config_file(start: Any, kit: Any, tmp_path: Path) -> None:
    for name in ("all", "two", "some"):
        for version, model in ((1, "half"), (2, "third"), (3, "half")):
            kit.write_model(tmp_path / name, model, version)
    policies = {
        "all": "model_version_policy { all {} }",
        "two": "model_version_policy { latest { num_versions: 2 } }",
        "some": "model_version_policy { specific { versions: 1 versions: 2 versions: 9 } } version_labels { key: 'new' value: 9 }",
    }
    config = tmp_path / "models.config"
    config.write_text(kit.config_text({name: tmp_path / name for name in policies}, policies))
    server = start(f"--model_config_file={config}", "--allow_version_labels_for_unavailable_models=true")
    assert server.versions("all") == dict.fromkeys(("3", "2", "1"), "AVAILABLE")
    assert server.versions("two") == dict.fromkeys(("3", "2"), "AVAILABLE")
    assert server.versions("some") == dict.fromkeys(("2", "1"), "AVAILABLE")
    assert server.post("some/labels/new:predict", BODY) == (404, {"error": "Servable not found for request: Specific(some, 9)"})


def test_a_label_at_the_start_is_fatal_without_the_flag(start: Any, kit: Any, tmp_path: Path) -> None:
    kit.write_model(tmp_path / "m", "half")
    config = tmp_path / "models.config"
    config.write_text(kit.config_text({"m": tmp_path / "m"}, {"m": "version_labels { key: 'stable' value: 1 }"}))
    server = start(f"--model_config_file={config}", wait=False)
    assert server.process.wait(60) == 1
    sentence = "Request to assign label to version 1 of model m, which is not currently available for inference"
    assert f"Failed to start server. Error: FAILED_PRECONDITION: {sentence}" in server.log.read_text()


def test_reload_replaces_the_whole_list(start: Any, kit: Any, tmp_path: Path) -> None:
    for name in ("m", "n"):
        kit.write_model(tmp_path / name, "half", 1)
        kit.write_model(tmp_path / name, "third", 2)
    server = start("--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    assert answer(server) == 5
    reply = reload(server, kit.config_text({"n": tmp_path / "n"}, {"n": "model_version_policy { all {} }"}))
    assert reply.status.error_code == pb.OK
    assert [(metric.name, metric.int64_value_increase) for metric in reply.metric] == [("/tensorflow/serving/request_count", 0)]
    assert answer(server, "n") == 5  # a new model answers as soon as the call is back
    kit.eventually(lambda: server.versions("m") == {"2": "END"})
    assert answer(server) == 0
    labelled = {"n": "model_version_policy { all {} } version_labels { key: 'old' value: 1 }"}
    reload(server, kit.config_text({"n": tmp_path / "n"}, labelled))
    assert answer(server, "n/labels/old") == 6
    labelled["n"] = labelled["n"].replace("value: 1", "value: 2")
    reload(server, kit.config_text({"n": tmp_path / "n"}, labelled))
    assert answer(server, "n/labels/old") == 5


BAD_CONFIGS = {
    "config { name: 'n' base_path: '/x' model_platform: 'tensorflow' } config { name: 'n' base_path: '/y' model_platform: 'tensorflow' }": (
        "INVALID_ARGUMENT",
        "Illegal to list model n multiple times in config list",
    ),
    "config { name: 'n' base_path: 'x' model_platform: 'tensorflow' }": (
        "INVALID_ARGUMENT",
        "Expected model n to have an absolute path or URI; got base_path()=x",
    ),
    "config { name: 'n' base_path: '/x' }": (
        "INVALID_ARGUMENT",
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
    ),
    "config { name: 'n' base_path: '/x' model_platform: 'caffe' }": ("INVALID_ARGUMENT", "Model n requests unsupported platform caffe"),
    "config { name: 'n' base_path: '/x' model_platform: 'tensorflow' version_labels { key: 'a' value: 3 } }": (
        "FAILED_PRECONDITION",
        "Request to assign label to version 3 of model n, which is not currently available for inference",
    ),
}


def test_a_bad_reload_changes_nothing(start: Any, kit: Any, tmp_path: Path) -> None:
    kit.write_model(tmp_path / "m", "half")
    server = start("--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    for text, (code, words) in BAD_CONFIGS.items():
        with pytest.raises(grpc.RpcError) as caught:
            reload(server, f"model_config_list {{ {text} }}")
        assert (caught.value.code().name, caught.value.details()) == (code, words)
        assert answer(server) == 6


def test_the_config_file_is_polled(start: Any, kit: Any, tmp_path: Path) -> None:
    for name in ("m", "n"):
        kit.write_model(tmp_path / name, "half")
    config = tmp_path / "models.config"
    config.write_text(kit.config_text({"m": tmp_path / "m"}))
    server = start(f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1")
    config.write_text("this is no config")
    kit.eventually(lambda: "Failed to reload" in server.log.read_text())
    assert answer(server) == 6
    config.write_text(kit.config_text({"n": tmp_path / "n"}))
    kit.eventually(lambda: answer(server, "n") == 6)
    kit.eventually(lambda: answer(server, "m") == 0)


def test_requests_are_answered_without_a_gap_while_versions_change(start: Any, kit: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    kit.write_model(base, "half", 1)
    server = start("--model_name=m", f"--model_base_path={base}")
    seen: set[float] = set()
    for version in (2, 3):
        kit.write_model(base, "third" if version == 2 else "half", version)
        while server.versions("m").get(str(version)) != "AVAILABLE":
            seen.add(answer(server))
    assert 0.0 not in seen
    assert answer(server) == 6


def test_sigterm_lets_a_running_request_finish(start: Any, kit: Any, tmp_path: Path) -> None:
    kit.write_model(tmp_path / "slow", "slow")
    server = start("--model_name=slow", f"--model_base_path={tmp_path / 'slow'}")
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    connection.request("POST", "/v1/models/slow:predict", b'{"inputs": [1.0]}')
    kit.eventually(lambda: server.get("slow")[0] == 200)  # the request before this one was read by now
    server.process.send_signal(signal.SIGTERM)
    assert json.loads(connection.getresponse().read())["outputs"]["y"] == [1.0]
    assert server.process.wait(30) == 0


def test_a_long_call_does_not_hold_up_others(shared: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.rest_port, timeout=30)
    connection.request("POST", "/v1/models/slow:predict", b'{"inputs": [2.0]}')
    for _ in range(20):
        assert answer(shared, "half") == 6
    connection.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        connection.sock.recv(1)  # the long call is still under way
    connection.sock.setblocking(True)
    assert connection.getresponse().status == 200
    connection.close()
