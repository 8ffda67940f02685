"""TensorFlow SavedModel through a session callable: the engine TF Serving itself uses, without Python between the feeds and the fetches.

Operations of one call run in the calling thread (`inter_op_parallelism_threads=-1`: 14 us a call on a two-operation model, against 140 us
with a pool of one); one operation may use `threads` threads. TensorFlow keeps one such pool a process: the first model's number stays.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff.contract import SIGNATURE
from serveoff.plugins import LoadedModel, Runtime, Signature

from ._tensors import UNKNOWN_SHAPE, in_order, spec

if TYPE_CHECKING:
    from serveoff.contract import TensorSpec
    from serveoff.plugins import Array, Tensors

_log = logging.getLogger(__name__)


class SavedModel:
    """The signatures of a SavedModel's `serve` graph whose tensors are all dense and of a supported type.

    `signature_defs` are the file's own definitions of all its signatures, serialized: name -> SignatureDef.
    """

    def __init__(self, directory: Path, threads: int) -> None:
        import tensorflow as tf

        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=-1)
        # What a request may be blamed for; anything else is the server's failure.
        self._misfits = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError, tf.errors.OutOfRangeError, TypeError)
        self._session: Any = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                graph = tf.compat.v1.saved_model.loader.load(self._session, [tf.saved_model.SERVING], str(directory))
            self._definitions = graph.signature_def
            self.signature_defs = {name: definition.SerializeToString() for name, definition in graph.signature_def.items()}
            self.signatures: Mapping[str, Signature] = _signatures(graph.signature_def)
            self._lock = threading.Lock()
            self._calls: dict[str, tuple[list[str], list[str], Callable[..., Sequence[Any]]]] = {}
            if SIGNATURE in self.signatures:
                self._call(SIGNATURE)
        except BaseException:
            self._session.close()
            raise

    def run(self, signature: str, inputs: Tensors) -> dict[str, Array]:
        feeds, fetches, call = self._calls.get(signature) or self._call(signature)
        try:
            results = call(*in_order(feeds, inputs))
        except self._misfits as error:
            raise ValueError(getattr(error, "message", str(error))) from error
        return {name: _as_array(value) for name, value in zip(fetches, results, strict=True)}

    def close(self) -> None:
        self._session.close()

    def _call(self, signature: str) -> tuple[list[str], list[str], Callable[..., Sequence[Any]]]:
        """Made on first use: each costs TensorFlow an optimised copy of the graph."""
        with self._lock:
            if signature not in self._calls:
                if signature not in self.signatures:
                    raise ValueError(f"there is no signature {signature!r}, only {sorted(self.signatures)}")
                definition, shown = self._definitions[signature], self.signatures[signature]
                feeds, fetches = [t.name for t in shown.inputs], [t.name for t in shown.outputs]
                call = _callable(
                    self._session, [definition.inputs[name].name for name in feeds], [definition.outputs[name].name for name in fetches]
                )
                self._calls[signature] = feeds, fetches, call
            return self._calls[signature]


def _callable(session: Any, feeds: list[str], fetches: list[str]) -> Callable[..., Sequence[Any]]:
    """Tensors in, tensors out. The fast way is private to TensorFlow; where it is gone, `session.run` is five times slower and right."""
    make = getattr(session, "_make_callable_from_options", None)
    if make is None:
        return lambda *values: session.run(fetches, dict(zip(feeds, values, strict=True)))
    from tensorflow.core.protobuf import config_pb2

    made: Callable[..., Sequence[Any]] = make(config_pb2.CallableOptions(feed=feeds, fetch=fetches))
    return made


def _signatures(definitions: Any) -> dict[str, Signature]:
    found = {}
    for name, definition in sorted(definitions.items()):
        if not definition.outputs or name == "__saved_model_init_op":
            continue
        try:
            found[name] = Signature(inputs=_specs(definition.inputs), outputs=_specs(definition.outputs))
        except ValueError as error:
            _log.warning("signature %r is left out: %s", name, error)
    return found


def _specs(infos: Any) -> tuple[TensorSpec, ...]:
    import tensorflow as tf

    specs = []
    for name, info in sorted(infos.items()):
        if info.WhichOneof("encoding") != "name":
            raise ValueError(f"tensor {name!r} is not dense")
        shape = UNKNOWN_SHAPE if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
        specs.append(spec(name, tf.as_dtype(info.dtype).name, shape))
    return tuple(specs)


def _as_array(value: Any) -> Array:
    """TensorFlow hands scalars back as numpy scalars, and a scalar string as `bytes`."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    return np.array(value, object if isinstance(value, bytes) else None)


class TensorFlow:
    serve_file: str = "saved_model.pb"
    requires: tuple[str, ...] = ("tensorflow",)

    def load(self, directory: Path, threads: int) -> LoadedModel:
        return SavedModel(directory, threads)


RUNTIME: Runtime = TensorFlow()
