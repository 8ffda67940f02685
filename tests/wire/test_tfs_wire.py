"""Our messages and tensor rules against TensorFlow's own, and the generated files against their source."""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serveoff.wire import generate, tensors
from serveoff.wire import tfs_pb2 as pb

WITNESS = Path(__file__).with_name("tensorflow_witness.py")

LEFT_OUT = {
    ("TensorProto", "resource_handle_val"),
    ("TensorProto", "variant_val"),
    ("TensorInfo.CompositeTensor", "type_spec"),
    ("SessionRunRequest", "options"),
    ("SessionRunResponse", "metadata"),
}


def proto(dtype: int, *shape: int, **values: Any) -> pb.TensorProto:
    message = pb.TensorProto(dtype=pb.DataType.Name(dtype), **values)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


ONE = np.float32(1).tobytes()

TENSORS = {
    "scalar": proto(pb.DT_FLOAT, float_val=[1.5]),
    "scalar without a value": proto(pb.DT_DOUBLE),
    "exact": proto(pb.DT_FLOAT, 2, float_val=[1, 2]),
    "too many values": proto(pb.DT_FLOAT, 2, float_val=[1, 2, 3]),
    "the last value repeats": proto(pb.DT_FLOAT, 2, 2, float_val=[1, 2]),
    "no values": proto(pb.DT_INT64, 2),
    "values of another field": proto(pb.DT_FLOAT, 1, int_val=[7]),
    "empty": proto(pb.DT_FLOAT, 0, 3),
    "empty with values": proto(pb.DT_FLOAT, 0, float_val=[1]),
    "empty with content": proto(pb.DT_FLOAT, 0, tensor_content=ONE),
    "content": proto(pb.DT_FLOAT, 1, tensor_content=ONE),
    "content wins": proto(pb.DT_FLOAT, 1, tensor_content=ONE, float_val=[7]),
    "content too short": proto(pb.DT_FLOAT, 2, tensor_content=ONE),
    "content too long": proto(pb.DT_FLOAT, 2, tensor_content=ONE * 3),
    "content of half a value": proto(pb.DT_FLOAT, 1, tensor_content=ONE[:2]),
    "negative size": proto(pb.DT_FLOAT, -1, float_val=[1]),
    "overflowing size": proto(pb.DT_FLOAT, 1 << 40, 1 << 40, float_val=[1]),
    "uint8 wraps": proto(pb.DT_UINT8, 2, int_val=[300, -1]),
    "int8 wraps": proto(pb.DT_INT8, 2, int_val=[300, -129]),
    "int16 wraps": proto(pb.DT_INT16, 2, int_val=[70000, -1]),
    "uint16 wraps": proto(pb.DT_UINT16, 2, int_val=[70000, -1]),
    "int32": proto(pb.DT_INT32, 2, int_val=[-5, 5]),
    "uint32": proto(pb.DT_UINT32, 1, uint32_val=[2**32 - 1]),
    "uint64": proto(pb.DT_UINT64, 1, uint64_val=[2**64 - 1]),
    "half": proto(pb.DT_HALF, 2, half_val=[15360, 1 << 17 | 15360]),
    "bool": proto(pb.DT_BOOL, 3, bool_val=[True]),
    "complex64": proto(pb.DT_COMPLEX64, 2, scomplex_val=[1, 2, 3, 4]),
    "complex64 with an odd part": proto(pb.DT_COMPLEX64, 2, scomplex_val=[1, 2, 3]),
    "complex128": proto(pb.DT_COMPLEX128, 1, dcomplex_val=[1, 2]),
    "string scalar": proto(pb.DT_STRING, string_val=[b"a\0"]),
    "strings": proto(pb.DT_STRING, 2, string_val=[b"a\0", b"\xff"]),
    "the last string repeats": proto(pb.DT_STRING, 3, string_val=[b"a", b"b"]),
    "no strings": proto(pb.DT_STRING, 2),
    "packed strings": proto(pb.DT_STRING, 2, tensor_content=b"\x02\x01abc"),
    "packed strings, bad length": proto(pb.DT_STRING, 2, tensor_content=b"\x02\x09abc"),
    "packed strings, too many bytes": proto(pb.DT_STRING, 2, tensor_content=b"\x02\x01abcd"),
    "packed strings, cut off": proto(pb.DT_STRING, 2, tensor_content=b"\x02"),
    "no type": proto(pb.DT_INVALID, 1, float_val=[1]),
}


@pytest.fixture(scope="module")
def tensorflow_says() -> dict[str, Any]:
    """The witness's answers; our own messages are sent to it as bytes."""
    asked = json.dumps([base64.b64encode(message.SerializeToString()).decode() for message in TENSORS.values()])
    done = subprocess.run([sys.executable, str(WITNESS)], input=asked, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.integration
def test_every_message_has_the_numbers_and_types_of_the_original(tensorflow_says: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("tensorflow_witness", WITNESS)
    assert spec is not None
    assert spec.loader is not None
    witness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(witness)
    ours: dict[str, Any] = {}
    witness.describe(pb.DESCRIPTOR, set(), ours)
    theirs = tensorflow_says["descriptors"]
    assert len(ours) > 80
    for name, fields in ours.items():
        missing = {f for f in theirs[name] if f not in fields and (name, f) not in LEFT_OUT}
        if name in {"DataType", "Code"}:
            missing = {f for f in missing if not f.endswith("_REF") and not f.startswith("DO_NOT_USE")}
        assert not missing, f"{name} lacks {missing}"
        assert fields == {f: theirs[name].get(f) for f in fields}, name


@pytest.mark.integration
@pytest.mark.parametrize("case", TENSORS)
def test_tensors_are_read_as_tensorflow_reads_them(case: str, tensorflow_says: dict[str, Any]) -> None:
    wanted = tensorflow_says["tensors"][list(TENSORS).index(case)]
    try:
        array = tensors.read(TENSORS[case])
    except ValueError:
        assert wanted == "error"
        return
    name = "string" if array.dtype == object else array.dtype.name
    assert [name, list(array.shape), repr(array.tolist())] == wanted


def test_the_generated_files_are_those_of_the_proto_files(tmp_path: Path) -> None:
    made = generate.generate(tmp_path)
    assert {path.name for path in made} >= {"tfs_pb2.py", "tfs_pb2.pyi"}
    for path in made:
        kept = generate.WIRE / path.name
        assert path.read_text() == kept.read_text(), f"{kept} is not what {path.stem}.proto makes: run python -m serveoff.wire.generate"
