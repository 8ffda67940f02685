"""The body of a REST classify or regress call -> tf.Examples (json_tensor.cc, FillClassifyRegressRequestFromJson)."""

from __future__ import annotations

from typing import Any

from serveoff.wire import tfs_pb2 as pb

from . import json_strict
from .json_quote import members, type_name
from .json_request import malformed, parse, signature_name
from .json_tensors import decode_base64, is_base64
from .status import invalid

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read(body: bytes) -> tuple[str, pb.Input]:
    """The signature's name (empty for none) and the examples. Raises ServingError."""
    doc, fast = parse(body)
    name = signature_name(doc)
    if fast:
        doc = json_strict.read_again(body)  # keeps duplicate features in their order: the last one wins here
    examples = pb.Input()
    with_context = "context" in doc
    if with_context:
        _fill(examples.example_list_with_context.context, doc["context"])
    if "examples" not in doc:
        raise malformed(doc, "When method is classify, key 'examples' is expected and was not found")
    rows = doc["examples"]
    if not isinstance(rows, list):
        raise malformed(doc, "Expecting 'examples' value to be an list/array")
    if not rows:
        raise malformed(doc, "'examples' value is an empty array")
    target: Any = examples.example_list_with_context if with_context else examples.example_list
    for row in rows:
        _fill(target.examples.add(), row)
    return name, examples


def _fill(example: pb.Example, value: Any) -> None:
    example.features.SetInParent()
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in members(value):
        feature = pb.Feature()
        for item in content if isinstance(content, list) else (content,):
            _add(feature, name, item)
        example.features.feature[name].CopyFrom(feature)


def _add(feature: pb.Feature, name: str, item: Any) -> None:
    value: Any
    if item is None or isinstance(item, list) or (isinstance(item, dict) and not is_base64(item)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(item)}")
    if isinstance(item, dict):
        kind, value = "bytes_list", item["b64"]
    elif isinstance(item, str):
        kind, value = "bytes_list", item.encode("utf-8", "surrogateescape")
    elif isinstance(item, float):
        kind, value = "float_list", item
    else:
        kind, value = "int64_list", int(item)
    chosen = feature.WhichOneof("kind")
    if chosen not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[str(chosen)]}")
    if kind == "int64_list" and value >= 1 << 63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    if isinstance(item, dict):
        value = decode_base64(value)
    getattr(feature, kind).value.append(value)
