"""The Open Inference Protocol: bytes out, bytes in, against a reading of the specification that shares no line with ours.

The real servers: MLServer in tests/serving/mlserver; replies of a real Triton 2.51 stand here as it sent them.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serveoff.contract import DType
from serveoff.launch import Endpoint
from serveoff.registry import PROTOCOLS
from serveoff.wire import oip

from .manifests import manifest, spec

REST, BINARY, GRPC = (PROTOCOLS.load(name) for name in ("oip_rest", "oip_binary_rest", "oip_grpc"))
EVERY = {"oip_rest": REST, "oip_binary_rest": BINARY, "oip_grpc": GRPC}
DOOR = Endpoint(protocol="oip_rest", host="127.0.0.1", port=1, model_name="pairs")

# "Tensor Data Types" of the specification, with the letters of Python's `struct`; BYTES has none.
TYPES = {
    **{"BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"},
    **{"FP16": "e", "FP32": "f", "FP64": "d", "BYTES": ""},
}
NAMES = {
    **{"bool": "BOOL", "string": "BYTES", "float16": "FP16", "float32": "FP32", "float64": "FP64"},
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


PAIRS = manifest((spec("left", "float32", 2), spec("right", "string")))
INPUTS = {"left": np.array([[1.5, -0.0]], np.float32), "right": np.array([b"\xc3\xa9"], object)}


def packed(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return struct.pack(f"<{len(values)}{TYPES[datatype]}", *values)


def unpacked(datatype: str, count: int, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        return list(struct.unpack(f"<{count}{TYPES[datatype]}", raw))
    values = []
    while raw:
        size = struct.unpack("<I", raw[:4])[0]
        values.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    assert len(values) == count
    return values


def varint(data: bytes) -> tuple[int, bytes]:
    number = shift = 0
    while True:
        byte, data = data[0], data[1:]
        number, shift = number | (byte & 127) << shift, shift + 7
        if byte < 128:
            return number, data


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: number, and an integer or bytes."""
    while message:
        key, message = varint(message)
        number, kind = key >> 3, key & 7
        value: Any
        if kind == 0:
            value, message = varint(message)
        else:
            assert kind == 2
            size, message = varint(message)
            value, message = message[:size], message[size:]
        yield number, value


def field(number: int, value: bytes) -> bytes:
    size, head = len(value), bytearray([number << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size]) + value


def shape_of(raw: bytes) -> list[int]:
    """A packed `repeated int64`."""
    sizes = []
    while raw:
        size, raw = varint(raw)
        sizes.append(size)
    return sizes


def read_request(name: str, body: bytes) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Input name -> datatype, shape and flat values, as a server of the specification reads them."""
    if name == "oip_grpc":
        found = list(fields(body))
        assert [value for number, value in found if number == 1] == [b"pairs"]
        tensors = [dict(fields(value)) for number, value in found if number == 5]
        raws = [value for number, value in found if number == 7]
        assert len(tensors) == len(raws)
        told = [(t[1].decode(), t[2].decode(), shape_of(t.get(3, b""))) for t in tensors]
        return {n: (d, s, unpacked(d, int(np.prod(s)), raw)) for (n, d, s), raw in zip(told, raws, strict=True)}
    if name == "oip_rest":
        return {t["name"]: (t["datatype"], t["shape"], t["data"]) for t in json.loads(body)["inputs"]}
    length = int(BINARY.headers(body)["Inference-Header-Content-Length"])
    head, rest = json.loads(body[:length]), body[length:]
    assert head["parameters"] == {"binary_data_output": True}
    inputs = {}
    for tensor in head["inputs"]:
        assert "data" not in tensor
        size = tensor["parameters"]["binary_data_size"]
        values = unpacked(tensor["datatype"], int(np.prod(tensor["shape"])), rest[:size])
        inputs[tensor["name"]], rest = (tensor["datatype"], tensor["shape"], values), rest[size:]
    assert rest == b""
    return inputs


def write_reply(name: str, outputs: dict[str, tuple[str, list[int], list[Any]]], *, nested: bool = False) -> bytes:
    """As a server of the specification answers."""
    if name == "oip_grpc":
        message = field(1, b"pairs")
        for output, (datatype, shape, _) in outputs.items():
            message += field(5, field(1, output.encode()) + field(2, datatype.encode()) + field(3, bytes(shape)))
        return message + b"".join(field(6, packed(datatype, values)) for datatype, _, values in outputs.values())
    tensors, rest = [], b""
    for output, (datatype, shape, values) in outputs.items():
        tensor: dict[str, Any] = {"name": output, "datatype": datatype, "shape": shape}
        if name == "oip_rest":
            texts = [value.decode() if isinstance(value, bytes) else value for value in values]
            tensor["data"] = np.array(texts, object).reshape(shape).tolist() if nested else texts
        else:
            raw = packed(datatype, values)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            rest += raw
        tensors.append(tensor)
    return json.dumps({"model_name": "pairs", "outputs": tensors}).encode() + rest


def values_of(dtype: str) -> st.SearchStrategy[np.ndarray]:
    shapes = arrays.array_shapes(max_dims=3, max_side=3, min_side=0)
    if dtype == "string":
        return arrays.arrays(object, shapes, elements=st.text(max_size=9).map(str.encode))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    return arrays.arrays(dtype, shapes, elements=arrays.from_dtype(np.dtype(dtype), **finite))  # type: ignore[arg-type]


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype and left.tolist() == right.tolist()


def test_the_table_of_types_is_the_specifications() -> None:
    assert dict(oip.DATATYPES) == NAMES
    assert set(oip.DATATYPES) == set(get_args(DType))


@pytest.mark.parametrize("name", EVERY)
@given(st.data())
def test_what_is_sent_is_what_a_server_reads(name: str, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3))
    inputs = {f"in {k}": data.draw(values_of(dtype)) for k, dtype in enumerate(chosen)}
    model = manifest(tuple(spec(n, cast("DType", d)) for n, d in zip(inputs, chosen, strict=True)))
    read = read_request(name, EVERY[name].encode(model, DOOR, inputs))
    assert list(read) == list(inputs)
    for (key, array), dtype in zip(inputs.items(), chosen, strict=True):
        datatype, shape, values = read[key]
        assert (datatype, shape) == (NAMES[dtype], list(array.shape))
        flat = array.ravel()
        if dtype == "string":
            assert [v.encode() if isinstance(v, str) else v for v in values] == flat.tolist()
        else:
            with np.errstate(over="raise"):
                assert np.array(values, dtype).tobytes() == flat.tobytes()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("nested", [False, True])
@given(st.data())
def test_what_a_server_answers_is_what_comes_back(name: str, nested: bool, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3))
    outputs = {f"out {k}": data.draw(values_of(dtype)) for k, dtype in enumerate(chosen)}
    told = {n: (NAMES[d], list(a.shape), a.ravel().tolist()) for (n, a), d in zip(outputs.items(), chosen, strict=True)}
    answer = EVERY[name].decode(manifest(()), write_reply(name, told, nested=nested))
    assert list(answer) == list(outputs)
    for key, array in outputs.items():
        assert same(answer[key], array)


def test_paths_and_headers() -> None:
    spaced = Endpoint(protocol="oip_rest", host="127.0.0.1", port=1, model_name="a b/c")
    assert REST.path(spaced) == BINARY.path(spaced) == "/v2/models/a%20b%2Fc/infer"
    assert GRPC.path(DOOR) == "/inference.GRPCInferenceService/ModelInfer"
    assert [(wire.transport, wire.encoding) for wire in EVERY.values()] == [("http", "json"), ("http", "binary"), ("grpc", "binary")]
    assert REST.headers(b"{}") == {"Content-Type": "application/json"}
    assert BINARY.headers(b'{"a": "}"}\x00{') == {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": "10",
    }
    assert GRPC.headers(b"") == {}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"left": np.zeros((1, 2))}, "input 'left' is float64, the model takes float32"),
        ({"right": np.zeros(1, np.float32)}, "input 'right' is float32, the model takes string"),
        ({"left": np.array([["a", "b"]], object)}, "input 'left' is string, the model takes float32"),
        ({"right": np.array([3], object)}, "neither text nor bytes"),
        ({"right": None}, "input 'right' is missing"),
    ],
)
def test_inputs_that_are_not_the_models_are_refused_before_they_are_sent(name: str, wrong: dict[str, Any], words: str) -> None:
    inputs = {key: value for key, value in (INPUTS | wrong).items() if value is not None}
    with pytest.raises(ValueError, match=words):
        EVERY[name].encode(PAIRS, DOOR, inputs)


def test_bytes_that_json_cannot_carry_are_refused() -> None:
    with pytest.raises(ValueError, match="no UTF-8"):
        REST.encode(PAIRS, DOOR, INPUTS | {"right": np.array([b"\xff"], object)})
    assert read_request("oip_binary_rest", BINARY.encode(PAIRS, DOOR, INPUTS | {"right": np.array([b"\xff"], object)}))["right"][2] == [
        b"\xff"
    ]


def test_nan_is_nan_however_a_server_writes_it() -> None:
    said = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [4], "data": [NaN, null, Infinity, -0.0]}]}'
    answer = REST.decode(PAIRS, said)["y"]
    assert np.array_equal(answer, np.array([np.nan, np.nan, np.inf, 0], np.float32), equal_nan=True)
    assert REST.encode(PAIRS, DOOR, INPUTS | {"left": np.array([[np.nan, np.inf]], np.float32)}).count(b"NaN,Infinity") == 1


def output(**changes: Any) -> bytes:
    tensor = {"name": "y", "datatype": "INT8", "shape": [2], "data": [1, 2]} | changes
    return json.dumps({"outputs": [{key: value for key, value in tensor.items() if value is not None}]}).encode()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"error": "Request for unknown model: \'nobody\' is not found"}', "^Request for unknown model: 'nobody' is not found$"),
        (b"<html>", "not JSON"),
        (b"[]", "no outputs"),
        (b'{"outputs": []}', "no outputs"),
        (b'{"outputs": [{"name": "y"}]}', "no name, datatype and shape"),
        (output(data=None), "no list"),
        (output(data=[1]), "1 values"),
        (output(data=[1, [2]]), "it holds"),
        (output(data=[1, 2.5]), "it holds 2.5"),
        (output(data=[1, None]), "it holds None"),
        (output(data=[1, True]), "it holds True"),
        (output(data=[1, "2"]), "it holds '2'"),
        (output(data=[1, 300]), "no INT8 tensor"),
        (output(datatype="INT4"), "'INT4' is no type"),
        (output(shape=[-1]), "no shape"),
        (output(shape=["2"]), "no shape"),
        (output(datatype="BYTES"), "neither text nor bytes"),
    ],
)
def test_a_json_reply_that_is_no_answer_is_a_value_error(reply: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        REST.decode(PAIRS, reply)


def binary(size: Any, rest: bytes, **changes: Any) -> bytes:
    return output(data=None, parameters={"binary_data_size": size}, **changes) + rest


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"error": "no"}', "^no$"),
        (b"<html>", "does not begin with JSON"),
        (output(), "does not say how many bytes"),
        (binary(True, b"\x01"), "does not say how many bytes"),
        (binary(-1, b"\x01"), "does not say how many bytes"),
        (binary(1, b"\x01"), "there are 1 bytes, the shape .* needs 2"),
        (binary(2, b"\x01"), "there are 1 bytes"),
        (binary(2, b"\x01\x02\x03"), "its outputs end at"),
        (binary(9, b"\x01\0\0\0a\0\0\0\0", datatype="BYTES", shape=[1]), "are not the 1 elements"),
        (binary(6, b"\x01\0\0\0a\0", datatype="BYTES"), "are not the 2 elements"),
        (binary(5, b"\x09\0\0\0a", datatype="BYTES", shape=[1]), "are not the 1 elements"),
    ],
)
def test_a_binary_reply_that_is_no_answer_is_a_value_error(reply: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BINARY.decode(PAIRS, reply)


Y = field(1, b"y") + field(2, b"INT8") + field(3, b"\x02")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"\xff\xff", "no ModelInferResponse"),
        (b"", "names 0 outputs"),
        (field(5, Y), "names 1 outputs, and has raw contents for 0"),
        (field(5, Y) + field(6, b"\x01"), "needs 2"),
        (field(5, field(1, b"y")) + field(6, b"\x01"), "'' is no type"),
    ],
)
def test_a_grpc_reply_that_is_no_answer_is_a_value_error(reply: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GRPC.decode(PAIRS, reply)


TRITON_RAW = b"\xf03\xad\xbfj\xb6/\xc0x\xde\xbc=\xd3\x18\xfd?F\x1a\x86\xbev\x9af?/\xe8\x0b\xc0x0\x83?\xff\x0fM\xbeL\x9f\x8e>"
TRITON_NUMBERS = (
    b"-1.3531475067138672,-2.7455086708068849,0.092221200466156,1.9773200750350953,-0.26191920042037966,"
    b"0.9007943868637085,-2.1860463619232179,1.024916648864746,-0.2002563327550888,0.2785590887069702"
)
TRITON = {
    "oip_rest": b'{"model_name":"digits_cnn","model_version":"1","outputs":[{"name":"logits","datatype":"FP32","shape":[1,10],"data":['
    + TRITON_NUMBERS
    + b"]}]}",
    "oip_binary_rest": b'{"model_name":"digits_cnn","model_version":"1","outputs":[{"name":"logits","datatype":"FP32","shape":[1,10],'
    b'"parameters":{"binary_data_size":40}}]}' + TRITON_RAW,
    "oip_grpc": b"\n\ndigits_cnn\x12\x011*\x12\n\x06logits\x12\x04FP32\x1a\x02\x01\n2(" + TRITON_RAW,
}


@pytest.mark.parametrize("name", EVERY)
def test_the_replies_of_a_real_triton(name: str) -> None:
    logits = EVERY[name].decode(PAIRS, TRITON[name])["logits"]
    assert logits.shape == (1, 10)
    assert logits.dtype == np.float32
    assert logits.tobytes() == TRITON_RAW


def test_a_load_process_needs_no_framework_for_them() -> None:
    code = (
        "import sys; from serveoff.registry import PROTOCOLS\n"
        f"[PROTOCOLS.load(name) for name in {list(EVERY)}]\n"
        "print(sorted({'torch', 'tensorflow', 'numpy', 'grpc', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
