"""TensorBoard reads what we write: its own reader is the witness, in a process that may load what it likes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.events import Events
from models.train import read_records
from serveoff.workspace import Workspace

# `notf`: TensorBoard's reader takes its own file system then, instead of TensorFlow's.
READER = """
import json, sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1])
read.Reload()
print(json.dumps({tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}))
"""


def scalars(directory: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", READER, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_an_interrupted_training_said_of_later_steps_is_dropped(tmp_path: Path) -> None:
    with Events(tmp_path, 1) as events:
        for step in (1, 2, 3):
            events.add(step, {"loss": step / 4})
    with Events(tmp_path, 3) as events:
        events.add(3, {"loss": 0.5})
    assert scalars(tmp_path) == {"loss": [[1, 0.25], [2, 0.5], [3, 0.5]]}


@pytest.mark.integration
def test_the_curves_of_both_frameworks_are_there(exported: Workspace) -> None:
    for record in read_records(exported.checkpoint("digits_cnn")):
        found = scalars(exported.training / "tensorboard" / "digits_cnn" / f"{record.framework}-0")
        assert found["accuracy/validation"] == [[n, pytest.approx(v)] for n, v in enumerate(record.validation_curve, 1)]
        assert found["loss/training"] == [[n, pytest.approx(v)] for n, v in enumerate(record.loss_curve, 1)]
