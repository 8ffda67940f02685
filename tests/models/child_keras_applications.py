"""How far Keras applications answer from the zoo's Keras builds with the same weights, over their largest output."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import keras
import numpy as np

from models import synthetic
from serveoff.registry import MODELS

APPLICATIONS = {"vgg19@32": "VGG19", "resnet50@64": "ResNet50", "mobilenet_v2@64": "MobileNetV2"}


def ours(name: str) -> str:
    """A layer of Keras' ResNet50 by the zoo's name."""
    found = re.fullmatch(r"conv(\d)_(?:block(\d+)_)?(?:(\d)_)?(conv|bn)", name)
    assert found is not None
    stage, block, number, kind = found.groups()
    if stage == "1":
        return {"conv": "conv1", "bn": "bn1"}[kind]
    place = f"layer{int(stage) - 1}.{int(block) - 1}"
    return f"{place}.downsample.{int(kind == 'bn')}" if number == "0" else f"{place}.{kind}{number}"


def pairs(name: str, theirs: Any, zoo: Any) -> list[tuple[Any, Any]]:
    """Layers with weights, side by side."""
    with_weights = [[layer for layer in model.layers if layer.weights] for model in (theirs, zoo)]
    if name.startswith("resnet50"):
        return [(layer, zoo.get_layer("fc" if layer.name == "predictions" else ours(layer.name))) for layer in with_weights[0]]
    return list(zip(*with_weights, strict=True))


def moved(theirs: Any, zoo: Any) -> None:
    values = theirs.get_weights()
    if isinstance(theirs, keras.layers.Conv2D) and theirs.use_bias and not zoo.use_bias:
        values = values[:1]  # its bias is 0, as it was drawn
    zoo.set_weights(values)


def difference(name: str) -> float:
    spec = MODELS.load(name)
    zoo, shape = spec.builds["keras"](), spec.inputs[0].shape[1:]
    keras.utils.set_random_seed(1)
    theirs = getattr(keras.applications, APPLICATIONS[name])(weights=None, input_shape=shape, classifier_activation=None)
    for one, other in pairs(name, theirs, zoo):
        moved(one, other)
    images = synthetic.images(int(shape[0] or 0), rows=4)
    wanted, answer = np.asarray(theirs(images)), np.asarray(zoo(images))
    return float(abs(wanted - answer).max() / abs(wanted).max())


def main() -> None:
    sys.stdout.write(f"RESULT {json.dumps({name: difference(name) for name in APPLICATIONS})}\n")


if __name__ == "__main__":
    main()
