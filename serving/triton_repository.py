"""Writes a Triton model repository: `NAME/config.pbtxt` and `NAME/VERSION/` with the model's files. The same artifact gives the same bytes.

The configuration is the text form of `inference.ModelConfig` (triton-inference-server/common, protobuf/model_config.proto).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from serveoff import storage
from serveoff.contract import Manifest, TensorSpec
from serveoff.errors import InputError
from serveoff.plugins import Artifact

from . import readable

_BACKENDS = {
    "onnx": ("onnxruntime", {"intra_op_thread_count": None, "inter_op_thread_count": 1}),
    "torchscript": ("pytorch", {"INTRA_OP_THREAD_COUNT": None, "INTER_OP_THREAD_COUNT": 1}),
    "savedmodel": ("tensorflow", {"TF_NUM_INTRA_THREADS": None, "TF_NUM_INTER_THREADS": 1}),
}
"""Format -> backend, and its parameters of threads: None is as many as the model may use."""
_PLATFORMS = {"savedmodel": "tensorflow_savedmodel"}
"""Of backends that read several formats."""
_TYPES = {"string": "STRING", "float16": "FP16", "float32": "FP32", "float64": "FP64"}
"""Our names -> `inference.DataType` without its TYPE_, where it is not our name in capitals."""
FORMATS = tuple(sorted(_BACKENDS))


def write(artifact: Artifact, repository: Path, threads: int) -> None:
    """Write the repository of `artifact`, readable for any user of an image. Raises InputError for a tensor without any dimension."""
    manifest = artifact.manifest
    folder = repository / manifest.served_name
    version = folder / str(manifest.version)
    shutil.rmtree(repository, ignore_errors=True)
    # A SavedModel is a directory of this name; the other files are called so already.
    shutil.copytree(artifact.version_dir, version / "model.savedmodel" if manifest.format == "savedmodel" else version)
    storage.write_bytes(folder / "config.pbtxt", configuration(manifest, threads).encode())
    readable.for_any_user(repository)


def configuration(manifest: Manifest, threads: int) -> str:
    """`max_batch_size: 0`: the shapes are whole, batch and all, and Triton joins no requests. One instance, so one call at a time.

    The names are the model's own. TorchScript has none for its outputs: names of no convention (`INPUT__0`) are taken in this order.
    """
    backend, thread_parameters = _BACKENDS[manifest.format]
    lines = [f"name: {_text(manifest.served_name)}", f"backend: {_text(backend)}"]
    if manifest.format in _PLATFORMS:
        lines.append(f"platform: {_text(_PLATFORMS[manifest.format])}")
    lines.append("max_batch_size: 0")
    lines += [_tensor("input", tensor, manifest) for tensor in manifest.inputs]
    lines += [_tensor("output", tensor, manifest) for tensor in manifest.outputs]
    lines.append("instance_group [ { count: 1 kind: KIND_CPU } ]")
    parameters = {name: str(value or threads) for name, value in thread_parameters.items()}
    if manifest.format == "savedmodel":
        parameters["TF_SIGNATURE_DEF"] = manifest.signature
    lines += [f"parameters {{ key: {_text(name)} value {{ string_value: {_text(value)} }} }}" for name, value in parameters.items()]
    return "\n".join(lines) + "\n"


def _tensor(role: str, tensor: TensorSpec, manifest: Manifest) -> str:
    if not tensor.shape:
        raise InputError(f"{manifest.id}: {tensor.name} is a scalar, which Triton takes only as a vector of one")
    dims = ", ".join(str(manifest.fixed_batch or -1) if size is None else str(size) for size in tensor.shape)
    kind = _TYPES.get(tensor.dtype, tensor.dtype.upper())
    return f"{role} [ {{ name: {_text(tensor.name)} data_type: TYPE_{kind} dims: [ {dims} ] }} ]"


def _text(value: str) -> str:
    """A string of protobuf's text form: JSON's escapes, and characters beyond ASCII as they are."""
    return json.dumps(value, ensure_ascii=False)
