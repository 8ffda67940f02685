"""The launch specs of embedded and tfserving: exact command lines, reasons when they cannot run, and real answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from serveoff import host, livecheck, tflite_names
from serveoff.errors import InputError, MissingToolError
from serveoff.launch import LaunchSpec, Mount, Readiness
from serveoff.plugins import Artifact
from serveoff.registry import LAUNCHERS, SERVERS
from serveoff.workspace import Workspace
from serving import ready
from serving.servers import _own_image

MakeDoubling = Callable[[str], Artifact]

SHARED = (
    "--port={port.grpc}",
    "--rest_api_port={port.rest}",
    "--model_name=doubler",
    "--model_base_path={mount.models}",
    "--tensorflow_session_parallelism=2",
    "--monitoring_config_file={file.monitoring.config}",
    "--max_num_load_retries=0",
)


def how(spec: LaunchSpec) -> tuple[str | None, str | None, str | None, str | None]:
    return spec.module, spec.binary, spec.image, spec.entrypoint


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_own_image, "_may_be_here", lambda image: True)
    for name in ("SERVEOFF_EMBEDDED_IMAGE", "SERVEOFF_TFSERVING_IMAGE", "SERVEOFF_TENSORFLOW_MODEL_SERVER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("form", ["onnx", "savedmodel", "tflite", "torchscript"])
def test_embedded_on_the_host(form: str, make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact = make_doubling(form)
    server = SERVERS.load("embedded")
    assert form in server.formats
    assert server.unavailable("host") is None
    spec = server.launch_spec(artifact, "host", tmp_path, threads=2)
    assert how(spec) == ("serving.embedded", None, None, None)
    assert spec.argv == (*SHARED, "--host={host}", "--rest_api_num_threads=1", "--grpc_max_threads=1")
    assert (spec.server, spec.artifact_id, spec.model_name) == ("embedded", f"doubler.pytorch.{form}.float32", "doubler")
    assert spec.ports == {"grpc": 8500, "rest": 8501}
    assert spec.protocols == {"tfs_rest": "rest", "tfs_grpc": "grpc"}
    assert spec.mounts == {"models": Mount(host_path=str(artifact.serve_dir), container_path="/models/doubler")}
    assert spec.readiness == Readiness(port="rest", path="/v1/models/doubler", contains='"state": "AVAILABLE"')
    assert spec.threads == 2


def test_embedded_in_its_image(make_doubling: MakeDoubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, server = make_doubling("onnx"), SERVERS.load("embedded")
    assert server.unavailable("image") is None
    spec = server.launch_spec(artifact, "image", tmp_path, threads=2)
    assert how(spec) == (None, None, "serveoff/embedded:latest", "serveoff-model-server")
    assert spec.argv == (*SHARED, "--host={host}", "--rest_api_num_threads=1", "--grpc_max_threads=1")
    monkeypatch.setenv("SERVEOFF_EMBEDDED_IMAGE", "mine:1")
    assert server.launch_spec(artifact, "image", tmp_path, threads=2).image == "mine:1"


@pytest.mark.parametrize(
    ("engine", "here"),
    [("echo 0123", True), ("exit 0", False), ("echo 0123; exit 1", True), ("exit 1", True), (None, True)],
    ids=["built", "not built", "no engine, words", "no engine", "no command"],
)
def test_embedded_in_an_image_that_was_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str | None, here: bool) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("SERVEOFF_EMBEDDED_IMAGE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if engine is not None:
        (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$*" = "images --quiet serveoff/embedded:latest" ] || exit 9\n{engine}\n')
        (tmp_path / "docker").chmod(0o755)
    build = "docker build --file docker/embedded.Dockerfile --tag serveoff/embedded ."
    reason = f"the image serveoff/embedded:latest is not on this host: build it (`{build}`), or name another one in SERVEOFF_EMBEDDED_IMAGE"
    assert SERVERS.load("embedded").unavailable("image") == (None if here else reason)
    monkeypatch.setenv("SERVEOFF_EMBEDDED_IMAGE", "mine:1")
    assert SERVERS.load("embedded").unavailable("image") is None


def test_edge_is_an_image_only(make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact, server = make_doubling("tflite"), SERVERS.load("edge")
    assert server.unavailable("host") == "it is an image only: tflite-runtime needs another numpy than everything else here"
    assert server.unavailable("image") is None
    spec = server.launch_spec(artifact, "image", tmp_path, threads=2)
    assert how(spec) == (None, None, "serveoff/edge:latest", "serveoff-model-server")
    assert spec.argv == (*SHARED, "--host={host}", "--rest_api_num_threads=1", "--grpc_max_threads=1")


def test_embedded_without_a_package(make_doubling: MakeDoubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, server = host.installed, SERVERS.load("embedded")
    monkeypatch.setattr(host, "installed", lambda name: None if name in {"uvicorn", "tensorflow"} else installed(name))
    assert server.unavailable("host") == "the package uvicorn is not installed: `make setup`"
    assert server.unavailable("image") is None
    with pytest.raises(MissingToolError, match=r"savedmodel\.float32 needs the package tensorflow, which is not installed"):
        server.launch_spec(make_doubling("savedmodel"), "host", tmp_path, threads=1)


def test_tfserving_from_the_path(make_doubling: MakeDoubling, tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(stand_in.parent))
    server, artifact = SERVERS.load("tfserving"), make_doubling("savedmodel")
    assert server.formats == ("savedmodel", "tflite")
    assert server.unavailable("host") is None
    spec = server.launch_spec(artifact, "host", tmp_path, threads=2)
    assert how(spec) == (None, str(stand_in), None, None)
    assert spec.argv == SHARED
    assert spec.mounts == {"models": Mount(host_path=str(artifact.serve_dir), container_path="/models/doubler")}
    assert spec.readiness == Readiness(port="rest", path="/v1/models/doubler", contains='"state": "AVAILABLE"')


def test_tfserving_in_its_image(make_doubling: MakeDoubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, artifact = SERVERS.load("tfserving"), make_doubling("savedmodel")
    spec = server.launch_spec(artifact, "image", tmp_path, threads=2)
    assert how(spec) == (None, None, "tensorflow/serving:2.20.0", "tensorflow_model_server")
    assert spec.argv == SHARED
    monkeypatch.setenv("SERVEOFF_TFSERVING_IMAGE", "mine:1")
    assert server.launch_spec(artifact, "image", tmp_path, threads=2).image == "mine:1"


def test_tfserving_gets_tflite_with_its_names(make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact = make_doubling("tflite")
    (artifact.version_dir / "assets.extra").mkdir()
    (artifact.version_dir / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"a record")
    spec = SERVERS.load("tfserving").launch_spec(artifact, "image", tmp_path, threads=2)
    assert spec.argv == (*SHARED, "--prefer_tflite_model=true", "--num_tflite_pools=2")
    assert spec.mounts == {"models": Mount(host_path=str(tmp_path / "models"), container_path="/models/doubler")}
    named = (tmp_path / "models" / "1" / "model.tflite").read_bytes()
    assert b"signature_defs_metadata" in named
    assert b"signature_defs_metadata" not in (artifact.version_dir / "model.tflite").read_bytes()
    assert (tmp_path / "models" / "1" / "assets.extra" / "tf_serving_warmup_requests").read_bytes() == b"a record"


def test_tfserving_gets_what_has_its_names_as_it_lies(make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact = make_doubling("tflite")
    path = artifact.version_dir / "model.tflite"
    path.write_bytes(tflite_names.with_names(path.read_bytes()))
    spec = SERVERS.load("tfserving").launch_spec(artifact, "image", tmp_path / "work", threads=1)
    assert spec.mounts["models"].host_path == str(artifact.serve_dir)
    assert not (tmp_path / "work").exists(), "nothing is copied"


def test_tfserving_gets_the_same_bytes_of_the_same_artifact(make_doubling: MakeDoubling, tmp_path: Path) -> None:
    """Of a SavedModel it gets the artifact's own folder."""
    artifact = make_doubling("tflite")
    written = []
    for folder in ("once", "again"):
        SERVERS.load("tfserving").launch_spec(artifact, "image", tmp_path / folder, threads=1)
        models = tmp_path / folder / "models"
        written.append({str(path.relative_to(models)): path.read_bytes() for path in models.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert written[0].keys() == {"1/model.tflite"}


def test_tfserving_and_a_tflite_file_that_it_cannot_read(
    make_doubling: MakeDoubling, make_tflite: Callable[..., bytes], tmp_path: Path
) -> None:
    artifact = make_doubling("tflite")
    (artifact.version_dir / "model.tflite").write_bytes(make_tflite(dtype=1))
    with pytest.raises(InputError, match=r"TF Serving cannot serve doubler\.pytorch\.tflite\.float32: tensor 'x' is of type FLOAT16"):
        SERVERS.load("tfserving").launch_spec(artifact, "image", tmp_path, threads=1)


def test_tfserving_is_not_here(make_doubling: MakeDoubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = SERVERS.load("tfserving")
    assert server.unavailable("host") == (
        "there is no tensorflow_model_server on PATH: install it, name it in SERVEOFF_TENSORFLOW_MODEL_SERVER, "
        "or serve from its image with Docker or Podman"
    )
    with pytest.raises(MissingToolError, match="there is no tensorflow_model_server"):
        server.launch_spec(make_doubling("savedmodel"), "host", tmp_path, threads=1)
    monkeypatch.setenv("SERVEOFF_TENSORFLOW_MODEL_SERVER", "/nowhere/tms")
    assert server.unavailable("host") == "/nowhere/tms (SERVEOFF_TENSORFLOW_MODEL_SERVER) is no program that can be run: correct the path"


def test_tfserving_has_no_image_for_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SERVERS.load("tfserving")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert server.unavailable("image") is None
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert server.unavailable("image") == "the official image is not built for aarch64: name one that is in SERVEOFF_TFSERVING_IMAGE"
    monkeypatch.setenv("SERVEOFF_TFSERVING_IMAGE", "mine:1")
    assert server.unavailable("image") is None


@pytest.mark.integration
@pytest.mark.parametrize(("name", "form"), [("embedded", "onnx"), ("embedded", "tflite"), ("tfserving", "tflite")])
def test_started_and_asked(
    name: str, form: str, make_doubling: MakeDoubling, workspace: Workspace, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TF Serving's command line is proved on the embedded server, which takes the same one."""
    monkeypatch.setenv("SERVEOFF_TENSORFLOW_MODEL_SERVER", str(stand_in))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    artifact, launcher = make_doubling(form), LAUNCHERS.load("process")
    work = workspace.targets / "t"
    work.mkdir(parents=True)
    spec = SERVERS.load(name).launch_spec(artifact, "host", work, threads=1)
    target = launcher.start("t", spec, artifact, work)
    try:
        ready.wait(target, spec, launcher, threading.Event())
        for protocol in spec.protocols:
            checked = livecheck.check(target, artifact, protocol)
            assert checked.passed, checked.reason
            assert len(checked.checks) == 3
    finally:
        launcher.stop(target)
    assert not launcher.alive(target)
