"""Run as a child: what TensorFlow itself says about descriptors and tensors. Takes base64 TensorProtos as a JSON list, answers in JSON."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any


def fields_of(descriptor: Any) -> dict[str, Any]:
    return {
        f.name: [f.number, f.type, f.is_repeated, f.is_packed, f.containing_oneof.name if f.containing_oneof else "", short_type(f)]
        for f in descriptor.fields
    }


def short_type(field: Any) -> str:
    """The type of a message or enum field without its package: the packages differ on purpose."""
    kind = field.message_type or field.enum_type
    name: str = kind.full_name if kind else ""
    return name.removeprefix("serveoff.tfs.").split("serving.")[-1].removeprefix("tensorflow.").removeprefix("error.")


def describe(file: Any, seen: set[str], found: dict[str, Any]) -> None:
    """Every message and enum of `file` and of the files it imports, google's own excepted: short name -> fields or values."""
    if file.name in seen or file.name.startswith("google/"):
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        describe(dependency, seen, found)
    for enum in file.enum_types_by_name.values():
        found[enum.name] = {v.name: v.number for v in enum.values}
    for message in file.message_types_by_name.values():
        describe_message(message, message.name, found)


def describe_message(message: Any, name: str, found: dict[str, Any]) -> None:
    found[name] = fields_of(message)
    for enum in message.enum_types:
        found[f"{name}.{enum.name}"] = {v.name: v.number for v in enum.values}
    for nested in message.nested_types:
        describe_message(nested, f"{name}.{nested.name}", found)


def parsed(serialized: bytes) -> Any:
    """What TensorFlow's own C++ reads from a TensorProto: [dtype, shape, values as text], or "error"."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    dtype = tensor_pb2.TensorProto.FromString(serialized).dtype
    try:
        array = tf.io.parse_tensor(serialized, dtype).numpy()
    except (tf.errors.InvalidArgumentError, TypeError):
        return "error"
    return [tf.as_dtype(dtype).name, list(getattr(array, "shape", ())), repr(array.tolist() if hasattr(array, "tolist") else array)]


def main() -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2, model_service_pb2, prediction_log_pb2, prediction_service_pb2
    from tensorflow_serving.config import model_server_config_pb2

    seen: set[str] = set()
    found: dict[str, Any] = {}
    for module in (get_model_metadata_pb2, model_service_pb2, prediction_log_pb2, prediction_service_pb2, model_server_config_pb2):
        describe(module.DESCRIPTOR, seen, found)
    tensors = [parsed(base64.b64decode(text)) for text in json.loads(sys.stdin.read())]
    print(json.dumps({"descriptors": found, "tensors": tensors}))  # noqa: T201


if __name__ == "__main__":
    main()
