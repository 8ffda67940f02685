"""Any tensor comes back exactly; any bytes get an answer that is a client's error, and the server lives."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.integration

LIMITS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
relaxed = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def elements(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "bool":
        return st.booleans()
    if dtype == "string":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if dtype in LIMITS:
        low, high = LIMITS[dtype]
        return st.integers(low, high)
    return st.floats(width=32 if dtype == "float32" else 64)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Any]:
    """A dtype, and nested lists of rank 1 to 4 with sizes of at least 1."""
    dtype = draw(st.sampled_from([*LIMITS, "bool", "string", "float32", "float64"]))
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    values = draw(st.lists(elements(dtype), min_size=math.prod(shape), max_size=math.prod(shape)))
    for size in reversed(shape[1:]):
        values = [values[i : i + size] for i in range(0, len(values), size)]
    return dtype, values


def flat(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, list) else [value]


def bits(value: Any, dtype: str) -> Any:
    """A float by its bits in its own precision, so that NaN equals NaN and -0.0 is not 0.0."""
    if not isinstance(value, float):
        return value
    return "nan" if math.isnan(value) else struct.pack("<f" if dtype == "float32" else "<d", value)


def assert_same(dtype: str, sent: Any, received: Any) -> None:
    assert [bits(v, dtype) for v in flat(received)] == [bits(v, dtype) for v in flat(sent)]
    assert json.dumps(received).count("[") == json.dumps(sent).count("[") or any("[" in v for v in flat(sent) if isinstance(v, str))


@relaxed
@given(tensors())
@example(("float32", [[math.nan, math.inf], [-math.inf, -0.0]]))
@example(("int64", [2**63 - 1, -(2**63)]))
@example(("uint64", [2**64 - 1, 0]))
@example(("string", ["\x00", '"\\', "😀", "\x7f", "\u2028"]))
def test_a_tensor_comes_back_exactly(shared: Any, tensor: tuple[str, Any]) -> None:
    dtype, values = tensor
    for key, answer in (("instances", "predictions"), ("inputs", "outputs")):
        status, reply = shared.post("types:predict", json.dumps({"signature_name": dtype, key: values}).encode())
        assert status == 200, reply
        assert_same(dtype, values, reply[answer])


@relaxed
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe")
@example(b"{" * 1000)
@example(b"[" * 200_000)
@example(b'{"instances":' + b"[" * 200_000)
@example(b'{"instances":[1' + b",1" * 1000)
@example(b'{"instances":[{"x":' * 500)
def test_bytes_that_are_no_request_are_refused(shared: Any, body: bytes) -> None:
    refused(shared, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "b64", "y", ""]), inner, max_size=3),
    max_leaves=12,
)


@relaxed
@given(JSON, st.sampled_from(["half", "two", "texts", "examples"]), st.sampled_from(["predict", "regress", "classify"]))
def test_any_json_gets_an_answer(shared: Any, value: Any, model: str, method: str) -> None:
    for key in ("instances", "inputs", "examples"):
        body = json.dumps({key: value}).encode()
        status, headers, reply = shared.http("POST", f"/v1/models/{model}:{method}", body)
        assert status in (200, 400, 501), reply
        assert headers["content-type"] == "application/json"
        assert status == 200 or set(json.loads(reply)) == {"error"}


@relaxed
@given(st.binary(max_size=60), st.integers(0, 40))
def test_a_damaged_request_never_breaks_the_server(shared: Any, noise: bytes, place: int) -> None:
    good = b'{"signature_name": "serving_default", "instances": [{"x": [1.5, 2, -3e2]}]}'
    status, _, reply = shared.http("POST", "/v1/models/half:predict", good[:place] + noise + good[place + len(noise) :])
    assert status in (200, 400), reply
    json.loads(reply)


def refused(server: Any, body: bytes) -> None:
    status, headers, reply = server.http("POST", "/v1/models/half:predict", body)
    assert 400 <= status < 500, reply
    assert headers["content-type"] == "application/json"
    assert set(json.loads(reply)) == {"error"}
