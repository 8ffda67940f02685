"""Each runtime against its framework's own answers."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serveoff.contract import TensorSpec
from serveoff.registry import RUNTIMES

pytestmark = pytest.mark.integration

Ask = Callable[[str], Any]

MAKERS = {"savedmodel": "tensorflow", "litert": "tensorflow", "torchscript": "torch", "onnxruntime": "torch", "pt2": "torch"}
COMPILED = pytest.param("aotinductor", marks=pytest.mark.slow)
"""The other content of a `model.pt2`."""


@pytest.fixture(params=[*RUNTIMES.names, COMPILED])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def runtime(kind: str) -> str:
    return "pt2" if kind == "aotinductor" else kind


@pytest.fixture
def folder(kind: str, request: pytest.FixtureRequest) -> Path:
    models: Path = request.getfixturevalue(f"{MAKERS.get(kind, kind)}_models")
    return models / kind


@pytest.fixture
def cases(folder: Path) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = pickle.loads((folder.parent / "cases.pickle").read_bytes())[folder.name]
    return found


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape), name
        if array.dtype == object:
            assert got[name].tolist() == array.tolist()
        else:
            np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-6)


def test_the_frameworks_answers(runtime: str, folder: Path, cases: list[Any], child: Ask) -> None:
    ask = child(runtime)
    model, signatures = ask("load", runtime, str(folder), 1)
    assert {name for name, _, _ in cases} <= signatures.keys()
    for name, inputs, wanted in cases:
        signature = signatures[name]
        assert {t.name: t.dtype for t in signature.inputs} == {
            k: "string" if v.dtype == object else v.dtype.name for k, v in inputs.items()
        }
        assert {t.name for t in signature.outputs} == wanted.keys()
        assert_same(ask("run", model, name, inputs), wanted)
    ask("close", model)


def test_the_signature_has_the_models_shapes(runtime: str, folder: Path, child: Ask) -> None:
    _, signatures = child(runtime)("load", runtime, str(folder), 1)
    assert {t.name: t for t in signatures["serving_default"].inputs} == {
        "a": TensorSpec(name="a", dtype="float32", shape=(None, 3)),
        "b": TensorSpec(name="b", dtype="float32", shape=(None, 4)),
    }
    assert {t.name: t.shape for t in signatures["serving_default"].outputs} == {"y": (None, 4), "total": (None,)}


def test_many_threads_at_once_with_mixed_batches(runtime: str, folder: Path, cases: list[Any], child: Ask) -> None:
    ask = child(runtime)
    model, _ = ask("load", runtime, str(folder), 2)
    calls = [case for case in cases if case[0] == "serving_default"] * 30
    answers = ask("run_together", model, [(name, inputs) for name, inputs, _ in calls], 8)
    for answer, (_, _, wanted) in zip(answers, calls, strict=True):
        assert_same(answer, wanted)


def test_inputs_that_share_a_requests_bytes(runtime: str, folder: Path, cases: list[Any], child: Ask) -> None:
    """Read-only arrays and arrays that are not contiguous are as good as any."""
    ask = child(runtime)
    model, _ = ask("load", runtime, str(folder), 1)
    name, inputs, wanted = next(case for case in cases if case[0] == "serving_default" and len(case[1]["a"]) > 1)
    for array in inputs.values():
        array.flags.writeable = False
    assert_same(ask("run", model, name, inputs), wanted)
    assert_same(ask("run", model, name, {k: np.asfortranarray(v) for k, v in inputs.items()}), wanted)


A, B = np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)

WORDS = "shape|rank|dim|size"
"""Every engine has its own sentence for a shape."""

MISFITS = {
    "unknown signature": ("nothing", {"a": A, "b": B}, "there is no signature 'nothing'"),
    "missing input": ("serving_default", {"a": A}, r"the inputs are \['a'\], the signature takes \['a', 'b'\]"),
    "unknown input": ("serving_default", {"a": A, "c": B}, "the signature takes"),
    "too many inputs": ("serving_default", {"a": A, "b": B, "c": B}, "the signature takes"),
    "wrong type": ("serving_default", {"a": A.astype(np.float64), "b": B}, "(?i)float64|double"),
    "wrong size": ("serving_default", {"a": np.zeros((2, 5), np.float32), "b": B}, "5"),
    "wrong rank": ("serving_default", {"a": np.zeros((2, 3, 1, 1), np.float32), "b": B}, WORDS),
    "unequal batches": ("serving_default", {"a": np.zeros((3, 3), np.float32), "b": B}, WORDS),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_inputs_that_do_not_fit(misfit: str, runtime: str, folder: Path, cases: list[Any], child: Ask) -> None:
    ask = child(runtime)
    model, _ = ask("load", runtime, str(folder), 1)
    signature, inputs, words = MISFITS[misfit]
    kind, text = ask.fails("run", model, signature, inputs)
    assert kind == "ValueError", text
    assert re.search(words, text)
    name, good, wanted = cases[0]
    assert_same(ask("run", model, name, good), wanted)  # and it still works


def test_a_damaged_file_does_not_load(runtime: str, folder: Path, tmp_path: Path, child: Ask) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    path = broken / RUNTIMES.load(runtime).serve_file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    kind, text = child(runtime).fails("load", runtime, str(broken), 1)
    assert kind not in {"AssertionError", "KeyError", "AttributeError", "TypeError"}
    assert text


def test_no_runtime_brings_another_framework(runtime: str, folder: Path, child: Ask) -> None:
    ask = child(runtime)
    ask("load", runtime, str(folder), 1)
    own = {"savedmodel": {"tensorflow"}, "torchscript": {"torch"}, "pt2": {"torch"}}.get(runtime, set())
    assert ask("modules") & {"tensorflow", "torch"} == own
