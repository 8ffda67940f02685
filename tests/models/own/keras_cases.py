"""Models of Keras and SavedModels, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from serveoff.contract import Origin
from serveoff.own_models import Description, tensor

Case = tuple[Path, Origin, Description]
SUBCLASS = (
    "import keras\nclass Net(keras.Model):\n    def __init__(self):\n        super().__init__()\n        self.d = keras.layers.Dense(2)\n"
    "    def call(self, x): return {'score': self.d(x)}\ndef build_keras(): return Net()\n"
)


@keras.saving.register_keras_serializable()
class BatchMean(keras.layers.Layer):  # type: ignore[misc]
    """Every row's answer depends on the others."""

    def call(self, x: Any) -> Any:
        return x - keras.ops.mean(x, axis=0)


def network(batch: int | None = None, layer: Any = None) -> keras.Model:
    x = keras.Input((4,), batch_size=batch, name="x")
    return keras.Model(x, (layer or keras.layers.Dense(2, name="score"))(x))


def make(root: Path) -> dict[str, Case]:
    cases: dict[str, Case] = {}

    def folder(name: str) -> Path:
        made = root / name
        made.mkdir()
        return made

    def saved(name: str, model: keras.Model, said: Description = Description(), suffix: str = ".keras") -> None:  # noqa: B008 - it is frozen
        model.save(folder(name) / f"m{suffix}")
        cases[name] = (root / name / f"m{suffix}", "keras", said)

    saved("good", network())
    saved("fixed", network(batch=2))
    doubled = keras.layers.Lambda(lambda x: x * 2)
    saved("code_inside", network(layer=doubled))
    saved("code_allowed", network(layer=doubled), Description(allow_pickle=True))
    saved("code_inside_h5", network(layer=doubled), suffix=".h5")
    saved("code_allowed_h5", network(layer=doubled), Description(allow_pickle=True), suffix=".h5")
    saved("older", network(), suffix=".h5")
    saved("batch_mean", network(layer=BatchMean()))
    np.savez(root / "s.npz", x=np.ones((5, 3), "float32"))
    saved("sample_shape", network(), Description(samples=str(root / "s.npz")))
    (folder("raises") / "m.py").write_text("def build_keras():\n    return 1 / 0\n")
    cases["raises"] = (root / "raises" / "m.py", "keras", Description())
    broken = network()
    broken.set_weights([np.full((4, 2), np.inf), np.zeros(2)])
    saved("infinite_weight", broken)
    (folder("damaged") / "m.keras").write_bytes(b"PK\3\4 no model")
    cases["damaged"] = (root / "damaged" / "m.keras", "keras", Description())
    for name, said in {"subclassed": Description(inputs=(tensor("x:float32:None,4"),)), "tells_nothing": Description()}.items():
        (folder(name) / "m.py").write_text(SUBCLASS)
        cases[name] = (root / name / "m.py", "keras", said)
    (folder("two_frameworks") / "m.py").write_text("import torch\nimport keras\ndef build_keras(): return keras.Sequential()\n")
    cases["two_frameworks"] = (root / "two_frameworks" / "m.py", "keras", Description())

    module = tf.Module()
    module.twice = tf.function(lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    module.text = tf.function(lambda t: {"t": tf.strings.upper(t)}, input_signature=[tf.TensorSpec((None,), tf.string, name="t")])
    for name, signatures, said in (
        ("one_signature", {"twice": module.twice}, Description()),
        ("several_signatures", {"twice": module.twice, "text": module.text}, Description()),
        ("named_signature", {"twice": module.twice, "text": module.text}, Description(signature="text")),
        ("unknown_signature", {"twice": module.twice}, Description(signature="twise")),
    ):
        tf.saved_model.save(module, str(folder(name) / "m"), signatures)
        cases[name] = (root / name / "m", "given", said)
    return cases
