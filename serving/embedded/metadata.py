"""What a loaded version says about itself: SignatureDefs, and model status, as messages and as REST bodies."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from serveoff.contract import TensorSpec
from serveoff.wire import tfs_pb2 as pb
from serveoff.wire.tensors import DATA_TYPES

from .catalog import VersionStatus
from .servable import Servable

SIGNATURE_DEF = "signature_def"
PREDICT_METHOD = "tensorflow/serving/predict"
SIGNATURE_DEF_MAP_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


def signature_defs(servable: Servable) -> pb.SignatureDefMap:
    """Of every signature: as the file has it, else as the runtime describes it."""
    own = servable.definitions
    result = pb.SignatureDefMap()
    for name, serialized in own.items():
        result.signature_def[name].ParseFromString(serialized)
    for name, signature in servable.model.signatures.items():
        if name in own:
            continue
        definition = result.signature_def[name]
        definition.method_name = PREDICT_METHOD
        for spec in signature.inputs:
            _describe(definition.inputs[spec.name], spec)
        for spec in signature.outputs:
            _describe(definition.outputs[spec.name], spec)
    return result


def definition(servable: Servable, name: str) -> str:
    """One SignatureDef as text, as TF Serving puts it into errors."""
    return str(signature_defs(servable).signature_def[name])


def _describe(info: Any, spec: TensorSpec) -> None:
    info.name = spec.name
    info.dtype = DATA_TYPES[spec.dtype]
    info.tensor_shape.SetInParent()
    for size in spec.shape:
        info.tensor_shape.dim.add(size=-1 if size is None else size)


def fill_metadata(servable: Servable, reply: pb.GetModelMetadataResponse) -> None:
    reply.model_spec.name = servable.name
    reply.model_spec.version.value = servable.version
    packed = reply.metadata[SIGNATURE_DEF]
    packed.type_url = SIGNATURE_DEF_MAP_URL
    packed.value = signature_defs(servable).SerializeToString(deterministic=True)


def metadata_body(servable: Servable) -> bytes:
    """The REST form: the same, with the Any opened."""
    spec = pb.ModelSpec(name=servable.name)
    spec.version.value = servable.version
    definitions = _json(signature_defs(servable))
    return f'{{\n"model_spec":{_json(spec)}\n,\n"metadata": {{"signature_def": {definitions}\n}}\n}}\n'.encode()


def fill_status(statuses: list[VersionStatus], reply: pb.GetModelStatusResponse) -> None:
    for status in statuses:
        row = reply.model_version_status.add(version=status.version, state=int(status.state))
        row.status.SetInParent()
        if status.error is not None:
            row.status.error_code = int(status.error.code)
            row.status.error_message = status.error.message


def status_body(statuses: list[VersionStatus]) -> bytes:
    reply = pb.GetModelStatusResponse()
    fill_status(statuses, reply)
    return (_json(reply) + "\n").encode()


def _json(message: Any) -> str:
    text: str = json_format.MessageToJson(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1)
    return text
