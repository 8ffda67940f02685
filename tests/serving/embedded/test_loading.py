"""Which runtime loads a version folder, and what a process refuses to load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serving.embedded.loading import _Claim, runtime_for
from serving.embedded.status import Code, ServingError


def test_the_runtime_whose_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert runtime_for(tmp_path, prefer_tflite=False) == "onnxruntime"


def test_a_saved_model_wins_over_tflite_unless_tflite_is_preferred(tmp_path: Path) -> None:
    for file in ("saved_model.pb", "model.tflite"):
        (tmp_path / file).touch()
    assert runtime_for(tmp_path, prefer_tflite=False) == "savedmodel"
    assert runtime_for(tmp_path, prefer_tflite=True) == "litert"
    (tmp_path / "model.tflite").unlink()
    assert runtime_for(tmp_path, prefer_tflite=True) == "savedmodel"


def test_an_empty_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"Looked for: .*saved_model\.pb") as caught:
        runtime_for(tmp_path, prefer_tflite=False)
    assert caught.value.code == Code.NOT_FOUND


@pytest.mark.parametrize(("first", "second"), [("tensorflow", "torch"), ("torch", "tensorflow")])
def test_a_process_belongs_to_the_first_framework(monkeypatch: pytest.MonkeyPatch, first: str, second: str) -> None:
    for name in (first, second):
        monkeypatch.delitem(sys.modules, name, raising=False)
    claim = _Claim()
    claim.check(("onnxruntime",))
    claim.check((first,))
    claim.check((first,))
    claim.check(("ai-edge-litert",))
    with pytest.raises(ServingError, match=f"this server runs {first} models; {second} models need a server process of their own"):
        claim.check((second,))
