"""Classify, regress and multi-inference over tf.Examples (classifier.cc, regressor.cc, multi_inference.cc)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from serveoff.wire import tfs_pb2 as pb
from serveoff.wire.tensors import DATA_TYPES

from .json_text import as_bytes
from .metadata import definition
from .servable import DEFAULT_SIGNATURE, Servable
from .status import Code, ServingError, failed_precondition, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Array, Signature, Tensors

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
INPUTS = "inputs"

Classifications = list[list[tuple[bytes, float]]]
"""(label, score) for each class of each example."""


def serialized(examples: pb.Input) -> Array:
    """One serialized tf.Example per row, the context's bytes before each (they merge). Raises ServingError for an empty input."""
    kind = examples.WhichOneof("kind")
    rows: list[bytes] = []
    if kind == "example_list":
        rows = [example.SerializeToString() for example in examples.example_list.examples]
    elif kind == "example_list_with_context":
        context = examples.example_list_with_context.context.SerializeToString()
        rows = [context + example.SerializeToString() for example in examples.example_list_with_context.examples]
    if not rows:
        raise invalid("Input is empty.")
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def signature_named(servable: Servable, name: str) -> Signature:
    signature = servable.signature(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    return signature


def check_classify(servable: Servable, name: str) -> None:
    signature = signature_named(servable, name)
    outputs = {spec.name for spec in signature.outputs}
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(outputs)}")
    if signature.inputs[0].name != INPUTS:
        raise failed_precondition(f"No classification inputs found in SignatureDef: {definition(servable, name)}")
    if not outputs & {"classes", "scores"}:
        raise failed_precondition(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {definition(servable, name)}"
        )


def check_regress(servable: Servable, name: str) -> None:
    signature = signature_named(servable, name)
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if signature.inputs[0].name != INPUTS:
        raise failed_precondition(f"No regression inputs found in SignatureDef: {definition(servable, name)}")
    if signature.outputs[0].name != "outputs":
        raise failed_precondition(f"No regression outputs found in SignatureDef: {definition(servable, name)}")


async def classify(servable: Servable, name: str, examples: pb.Input, timeout_s: float | None) -> Classifications:
    """Raises ServingError."""
    name = name or DEFAULT_SIGNATURE
    check_classify(servable, name)
    rows = serialized(examples)
    servable.means.metrics.examples(servable.name, len(rows))
    return classifications(await servable.run(name, {INPUTS: rows}, timeout_s, "Classify"), len(rows))


async def regress(servable: Servable, name: str, examples: pb.Input, timeout_s: float | None) -> list[float]:
    """Raises ServingError."""
    name = name or DEFAULT_SIGNATURE
    check_regress(servable, name)
    rows = serialized(examples)
    servable.means.metrics.examples(servable.name, len(rows))
    return regressions(await servable.run(name, {INPUTS: rows}, timeout_s, "Regress"), len(rows))


def classifications(outputs: Tensors, count: int) -> Classifications:
    classes, scores = outputs.get("classes"), outputs.get("scores")
    if classes is not None:
        _check_matrix("classes", classes, count, "OSU", "DT_STRING")
    if scores is not None:
        _check_matrix("scores", scores, count, "f", "DT_FLOAT")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}")
    width = (classes if classes is not None else scores).shape[1]  # type: ignore[union-attr]
    labels: Any = [[b""] * width] * count if classes is None else [[as_bytes(v) for v in row] for row in classes.tolist()]
    numbers: Any = [[0.0] * width] * count if scores is None else scores.tolist()
    return [list(zip(*pair, strict=True)) for pair in zip(labels, numbers, strict=True)]


def _check_matrix(name: str, array: Array, count: int, kinds: str, dtype: str) -> None:
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(array)}")
    if array.dtype.kind not in kinds or (kinds == "f" and array.dtype != np.float32):
        raise invalid(f"Expected {name} Tensor of {dtype}. Got: {_data_type(array)}")
    if len(array) != count:
        raise invalid(f"Expected {name} output batch size of {count}. Got: {len(array)}")


def regressions(outputs: Tensors, count: int) -> list[float]:
    array = outputs["outputs"]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise invalid(f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape_text(array)}")
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_data_type(array)}")
    values: list[float] = array.reshape(-1).tolist()
    return values


def _shape_text(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _data_type(array: Array) -> str:
    number = DATA_TYPES["string"] if array.dtype.kind in "OSU" else DATA_TYPES.get(array.dtype.name, 0)
    return str(pb.DataType.Name(number))


async def multi(servable: Servable, request: pb.MultiInferenceRequest, timeout_s: float | None, reply: pb.MultiInferenceResponse) -> None:
    """Every task on the same input. Raises ServingError."""
    names: list[str] = []
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if name in names:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        names.append(name)
        if servable.signature(name) is None:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in (CLASSIFY_METHOD, REGRESS_METHOD):
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        (check_classify if task.method_name == CLASSIFY_METHOD else check_regress)(servable, name)
    rows = serialized(request.input)
    servable.means.metrics.examples(servable.name, len(rows))
    for name, task in zip(names, request.tasks, strict=True):
        outputs = await servable.run(name, {INPUTS: rows}, timeout_s, "MultiInference")
        result = reply.results.add()
        if task.method_name == CLASSIFY_METHOD:
            fill_classifications(classifications(outputs, len(rows)), result.classification_result)
        else:
            fill_regressions(regressions(outputs, len(rows)), result.regression_result)
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        result.model_spec.version.value = servable.version


def fill_classifications(results: Classifications, proto: pb.ClassificationResult) -> None:
    proto.SetInParent()
    for classes in results:
        row = proto.classifications.add()
        for label, score in classes:
            row.classes.add(label=label.decode("utf-8", "replace"), score=score)


def fill_regressions(values: list[float], proto: pb.RegressionResult) -> None:
    proto.SetInParent()
    for value in values:
        proto.regressions.add(value=value)
