"""A training that is killed goes on from its last epoch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models import weights
from models.train import read_records
from models.training import Progress, Training
from serveoff import process, storage
from serveoff.errors import InputError
from serveoff.plugins import Dataset
from serveoff.training import TrainingRecord
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration
EPOCHS = 3


def worker(framework: str, folder: Path) -> subprocess.Popen[str]:
    arguments = ("--model", "digits_cnn", "--framework", framework, "--first", framework, "--checkpoint", str(folder))
    return subprocess.Popen(
        process.python("models.worker", *arguments, "--curves", str(folder / "curves"), "--epochs", str(EPOCHS), "--seeds", "4"),
        env=process.environment(folder, {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}),
        stdout=subprocess.PIPE,
        text=True,
    )


def trained(framework: str, folder: Path, kill_after: int | None = None) -> list[int]:
    """The epochs that the worker ran; it is killed as soon as it says that `kill_after` of them are done."""
    done = []
    with worker(framework, folder) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("@epoch"):
                done.append(int(line.split()[1]))
            if kill_after is not None and done[-1:] == [kill_after]:
                running.kill()
    assert running.returncode == (0 if kill_after is None else -signal.SIGKILL)
    return done


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["pytorch", "keras"])
def test_a_killed_training_goes_on_from_its_last_epoch_to_the_same_result(framework: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert trained(framework, whole) == [1, 2, 3]
    trained(framework, broken, kill_after=1)
    assert not list(broken.glob("training-*.json"))
    again = trained(framework, broken)
    assert again in ([2, 3], [3]), "it may have ended another epoch before the kill reached it"
    first, second = (storage.read(folder / f"training-{framework}-4.json", TrainingRecord) for folder in (whole, broken))
    assert second.resumed_after == (again[0] - 1,)
    assert second.epochs == len(second.loss_curve) == len(second.epoch_s) == EPOCHS
    assert second.initial_sha256 == first.initial_sha256
    if framework == "pytorch":  # deterministic: the same to the last bit
        assert second.weights_sha256 == first.weights_sha256
        assert second.loss_curve == first.loss_curve
        assert second.validation_curve == first.validation_curve
    else:
        assert second.loss_curve == pytest.approx(first.loss_curve, rel=1e-2)
    assert not list(broken.glob("state-*"))


class Forgetful:
    """A trainer whose state cannot be read again."""

    STATE = "{}.state"

    def __init__(self, *given: Any) -> None:
        self.epoch = lambda data, order: 1.0
        self.scores = lambda inputs: np.zeros((len(inputs), 2))

    Trainer = classmethod(lambda cls, *given: cls(*given))

    def save(self, path: Path) -> None:
        path.write_bytes(b"")

    def load(self, path: Path) -> None:
        raise EOFError("nothing in it")


def test_a_state_that_cannot_be_read_is_told_of_with_the_next_step(tmp_path: Path) -> None:
    labels = np.zeros(3, np.int64)
    spec: Any = SimpleNamespace(dataset=lambda: Dataset({}, labels, dict.fromkeys("abc", labels), labels))
    weights.save(tmp_path / "initial-0.safetensors", {"w": np.zeros(2)})
    training = Training("m", "pytorch", spec, Forgetful, tmp_path, tmp_path / "curves")

    def killed(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(0, 2, "pytorch", killed)
    with pytest.raises(InputError, match=r"state-pytorch-0/1\.state cannot be read: nothing in it") as told:
        training.run(0, 2, "pytorch", killed)
    assert told.value.hint == "begin anew: `serveoff train --fresh`"


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_same_options_and_begins_anew_with_others(
    serveoff: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    options = ("train", "--epochs", str(EPOCHS), "--seeds", "2", "--json")
    command = subprocess.Popen(
        [sys.executable, "-m", "serveoff", "--quiet", *options], env={**os.environ, "SERVEOFF_WORKSPACE": str(tmp_path)}
    )
    folder = workspace.checkpoint("digits_cnn")
    while not list(folder.glob("state-keras-0/progress.json")):
        assert command.poll() is None
        time.sleep(0.02)
    command.kill()
    command.wait()
    before = {r.framework + str(r.seed): r for r in read_records(folder)}
    assert set(before) == {"pytorch0", "pytorch1"}
    done = serveoff(*options, workspace=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "going on where an interrupted training ended" in done.stderr
    records = {r["framework"] + str(r["seed"]): r for r in json.loads(done.stdout)["training"]}
    assert set(records) == {"keras0", "keras1", "pytorch0", "pytorch1"}
    assert records["pytorch0"]["epoch_s"] == list(before["pytorch0"].epoch_s), "it was not trained again"
    assert records["keras0"]["resumed_after"] != []
    fewer = serveoff("train", "--epochs", "1", "--framework", "pytorch", "--json", workspace=tmp_path)
    assert [(r["framework"], r["epochs"]) for r in json.loads(fewer.stdout)["training"]] == [("pytorch", 1)]
