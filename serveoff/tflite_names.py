"""Gives a TFLite file its tensor names in the place where TF Serving looks for them, and tells OpenVINO what they are.

TF Serving ignores the signatures that converters write. It reads a metadata buffer called `signature_defs_metadata`, a FlexBuffer map of
signature name -> serialized SignatureDef (tflite_session.cc, signature_def_util.cc); without it clients must use the file's internal tensor
names, such as `StatefulPartitionedCall`. It reads each SignatureDef as a C string, so none may hold a zero byte.
"""

from __future__ import annotations

from typing import Any

from serveoff.wire import tfs_pb2

METADATA = "signature_defs_metadata"
_METHOD = "tensorflow/serving/predict"
_LARGEST_BYTES = 2_000_000_000
_ALIGNMENT = 16
"""`force_align` of a buffer's data in TFLite's schema."""
_DTYPES = {
    "FLOAT32": tfs_pb2.DT_FLOAT,
    "INT32": tfs_pb2.DT_INT32,
    "UINT8": tfs_pb2.DT_UINT8,
    "INT64": tfs_pb2.DT_INT64,
    "STRING": tfs_pb2.DT_STRING,
    "BOOL": tfs_pb2.DT_BOOL,
    "INT16": tfs_pb2.DT_INT16,
    "COMPLEX64": tfs_pb2.DT_COMPLEX64,
    "INT8": tfs_pb2.DT_INT8,
}
"""TFLite's tensor types that TF Serving knows."""


def with_names(content: bytes, *, anew: bool = False) -> bytes:
    """The same model with its signatures as `signature_defs_metadata`; weights, operators and everything else stay as they are.

    `content` comes back unchanged when it has no signature of its own, or has that metadata already, unless it is to be made `anew`: a
    converter may have given the tensors other names since. Signatures of subgraphs other than the first are left out: TF Serving runs only
    that one. Weights that a converter has put behind the FlatBuffer are put into it, where tflite-runtime looks, too.

    Raises ValueError for a tensor type that TF Serving does not know, and for a file that is too large for one FlatBuffer (2 GB).
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    signatures = [s for s in model.signatureDefs or [] if s.subgraphIndex == 0]
    others = [entry for entry in model.metadata or [] if entry.name.decode() != METADATA]
    if not signatures or (len(others) < len(model.metadata or []) and not anew):
        return content
    operators = [operator for graph in model.subgraphs for operator in graph.operators or []]
    if any(operator.largeCustomOptionsOffset > 1 for operator in operators):
        raise ValueError("it has custom operators whose options lie behind the FlatBuffer")
    if len(content) > _LARGEST_BYTES:
        raise ValueError("it is too large for its names to be written into it")
    types = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    definitions = {s.signatureKey.decode(): _definition(s, model.subgraphs[0].tensors, types) for s in signatures}
    model.metadata = [*others, schema.MetadataT(name=METADATA, buffer=len(model.buffers))]
    model.buffers = [
        *(_aligned(_inside(buffer, content)) for buffer in model.buffers),
        _aligned(schema.BufferT(data=_flex_map(definitions))),
    ]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def internal(content: bytes, signature: str) -> dict[str, dict[str, str]]:
    """`inputs` and `outputs` of a signature: the file's internal tensor name -> the signature's. Empty without such a signature."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names: dict[str, dict[str, str]] = {"inputs": {}, "outputs": {}}
    for found in model.signatureDefs or []:
        if found.signatureKey.decode() == signature:
            tensors = model.subgraphs[found.subgraphIndex].tensors
            for role, entries in (("inputs", found.inputs), ("outputs", found.outputs)):
                names[role] = {tensors[entry.tensorIndex].name.decode(): entry.name.decode() for entry in entries}
    return names


def _definition(signature: Any, tensors: Any, types: dict[int, str]) -> bytes:
    definition = tfs_pb2.SignatureDef(method_name=_METHOD)
    for entries, infos in ((signature.inputs, definition.inputs), (signature.outputs, definition.outputs)):
        for entry in entries:
            tensor = tensors[entry.tensorIndex]
            if types[tensor.type] not in _DTYPES:
                raise ValueError(
                    f"tensor {entry.name.decode()!r} is of type {types[tensor.type]}, which TF Serving does not know in TFLite"
                )
            info = infos[entry.name.decode()]
            info.name, info.dtype = tensor.name.decode(), _DTYPES[types[tensor.type]]
            sizes = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
            for size in sizes if sizes is not None else ():
                info.tensor_shape.dim.add(size=int(size))
    serialized: bytes = definition.SerializeToString(deterministic=True)
    if b"\0" in serialized:
        raise ValueError(f"signature {signature.signatureKey.decode()!r} has an empty dimension, which TF Serving cannot read")
    return serialized


def _flex_map(entries: dict[str, bytes]) -> bytes:
    """A FlexBuffer map whose values are strings of raw bytes."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in sorted(entries.items()):
            builder.Key(key)
            builder._WriteBlob(value, append_zero=True, type_=flexbuffers.Type.STRING)  # `String` takes text only
    return bytes(builder.Finish())


def _inside(buffer: Any, content: bytes) -> Any:
    """The buffer with its data in it; `offset` and `size` say where in the file it is otherwise."""
    if buffer.offset > 1:
        buffer.data, buffer.offset, buffer.size = memoryview(content)[buffer.offset : buffer.offset + buffer.size], 0, 0
    return buffer


def _aligned(buffer: Any) -> Any:
    """The buffer, so that it packs its data on a boundary of 16 bytes: the generated code forgets what the schema says."""

    def pack(builder: Any) -> Any:
        from ai_edge_litert import schema_py_generated as schema

        if buffer.data is None or not len(buffer.data):
            return type(buffer).Pack(buffer, builder)
        data = bytes(buffer.data)
        builder.StartVector(1, len(data), _ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)

    buffer.Pack = pack
    return buffer
