from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serveoff import own_models
from serveoff.own_models import Description
from serveoff.workspace import Workspace

Command = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = ("tensorflow", "keras", "torch", "onnx", "onnxruntime", "numpy", "scipy", "locust", "gevent", "grpc", "plotly", "uvicorn")


def test_help_imports_no_framework() -> None:
    code = f"""
import sys
sys.argv = ["serveoff", "--help"]
from serveoff.cli import main
try:
    main()
finally:
    print("HEAVY:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert "loadtest" in child.stdout
    assert child.stdout.splitlines()[-1] == "HEAVY: []"


@pytest.mark.parametrize("command", ["models", "status", "doctor"])
def test_looking_around_imports_no_framework(command: str, tmp_path: Path) -> None:
    code = f"""
import os, sys
os.environ["SERVEOFF_WORKSPACE"] = {str(tmp_path)!r}
sys.argv = ["serveoff", {command!r}]
from serveoff.cli import main
try:
    main()
finally:
    print("HEAVY:", [name for name in ("tensorflow", "torch", "onnxruntime", "locust") if name in sys.modules])
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines()[-1] == "HEAVY: []"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message", "hint"),
    [
        (("export", "--format", "onxx"), 2, "unknown format 'onxx'", "did you mean 'onnx'?"),
        (("train", "--framework", "jax"), 2, "unknown framework 'jax'", "known: pytorch, keras"),
        (("serve", "--server", "torchserv"), 2, "unknown server 'torchserv'", "did you mean 'torchserve'?"),
        (("loadtest", "--profile", "closd"), 2, "unknown profile 'closd'", "did you mean 'closed'?"),
        (("loadtest", "--timeout-s", "nan"), 2, "the time limit of a request is nan s", "--help"),
        (("loadtest",), 4, "nothing is being served", "serve"),
        (("serve",), 1, "no artifact", "serveoff export"),
        (("report",), 1, "there is no load test", "serveoff loadtest"),
        (("export", "--config", "nowhere.toml"), 1, "cannot read nowhere.toml", ""),
    ],
)
def test_bad_input_is_one_sentence_and_the_next_step(
    serveoff: Command, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, message: str, hint: str
) -> None:
    done = serveoff(*arguments, workspace=tmp_path)
    assert done.returncode == exit_code, done.stderr
    assert message in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_a_usage_error(serveoff: Command, tmp_path: Path) -> None:
    assert serveoff("export", "--fromat", "onnx", workspace=tmp_path).returncode == 2


def test_json_may_stand_anywhere(serveoff: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("looked at, not loaded")
    own_models.declare(str(tmp_path / "mine.onnx"), Description(inputs=(own_models.tensor("x:float32:None,4"),)), Workspace(tmp_path))
    after, before = serveoff("models", "list", "--json", workspace=tmp_path), serveoff("--json", "models", workspace=tmp_path)
    assert after.stdout == before.stdout
    shown = {m["name"]: m for m in json.loads(after.stdout)["models"]}
    assert shown["resnet50"]["parameters"] == 25_557_032, "as published"
    assert shown["resnet50"]["macs"] == pytest.approx(4.09e9, rel=1e-3)
    assert shown["ncf"]["inputs"] == ["user int64[batch]", "item int64[batch]"]
    (mine,) = json.loads(after.stdout)["own"]
    assert mine["path"] == str(tmp_path / "mine.onnx")
    assert (mine["name"], mine["kind"], mine["inputs"], mine["frameworks"]) == ("mine", "onnx", ["x float32[batch, 4]"], ["given"])


def test_the_configuration_file_says_the_same_as_options(serveoff: Command, tmp_path: Path) -> None:
    config = tmp_path / "serveoff.toml"
    config.write_text('format = ["savedmodle"]\n[train]\nepochs = 3\n')
    done = serveoff("export", "--config", str(config), workspace=tmp_path)
    assert done.returncode == 2
    assert "unknown format 'savedmodle'" in done.stderr, "the file's choice reached the command"
    config.write_text("[export]\nepochs = 3\n")
    done = serveoff("export", f"--config={config}", workspace=tmp_path)
    assert "unknown option of export 'epochs'" in done.stderr
    config.write_text("format = \n")
    assert "is not valid TOML" in serveoff("export", "--config", str(config), workspace=tmp_path).stderr


@pytest.mark.parametrize("arguments", [("train", "--epochs", "1"), ("export",), ("serve",), ("loadtest",), ("stop",), ("status",)])
def test_a_workspace_that_is_no_directory_is_the_inputs_fault(serveoff: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    done = serveoff(*arguments, workspace=tmp_path / "file" / "w")
    assert done.returncode in (0, 1, 4), done.stderr  # nothing to stop, nothing to show, nothing to load: no fault
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
    if arguments[0] in ("train", "export", "serve", "loadtest"):
        assert f"{tmp_path / 'file'}" in done.stderr
        assert done.returncode == 1


def test_one_name_in_the_configuration_file_means_a_list_of_one(serveoff: Command, tmp_path: Path) -> None:
    config = tmp_path / "serveoff.toml"
    config.write_text('format = "savedmodle"\n')
    assert "unknown format 'savedmodle'" in serveoff("export", "--config", str(config), workspace=tmp_path).stderr


def test_a_configuration_file_that_is_no_text_is_said(serveoff: Command, tmp_path: Path) -> None:
    config = tmp_path / "serveoff.toml"
    config.write_bytes(b'format = "\xff"\n')
    done = serveoff("export", "--config", str(config), workspace=tmp_path)
    assert done.returncode == 1
    assert "is not valid TOML" in done.stderr


def test_ctrl_c_while_the_command_line_is_imported_is_one_line(tmp_path: Path) -> None:
    code = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from serveoff.__main__ import main
main()
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (130, "error: interrupted\n")


def test_ui_takes_every_filter(serveoff: Command, tmp_path: Path) -> None:
    filters = ("--model", "digits_cnn", "--framework", "keras", "--format", "tflite", "--precision", "float32")
    done = serveoff(
        "ui", *filters, "--server", "embedded", "--launcher", "process", "--protocol", "rest", "--port", "0", workspace=tmp_path
    )
    assert done.returncode == 4, done.stderr
    assert "nothing is being served" in done.stderr
