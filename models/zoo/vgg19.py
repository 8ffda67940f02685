"""VGG-19 (arXiv:1409.1556) with torchvision's names: a checkpoint of torchvision's fits.

Images come channels last in every format: PyTorch sees them through a view, and computes in that order itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

CLASSES = 1000
HIDDEN = 4096
STAGES = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
"""3x3 convolutions and their channels; each stage ends in a 2x2 pooling."""


def _features() -> Iterator[tuple[int, int]]:
    """The number of each layer among `features` and its channels; 0 channels stand for a pooling."""
    number = 0
    for count, width in STAGES:
        for _ in range(count):
            yield number, width
            number += 2  # a ReLU has a number, too
        yield number, 0
        number += 1


def build_pytorch(side: int) -> torch.nn.Module:
    from torch import nn

    class Vgg19(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential()
            channels = 3
            for number, width in _features():
                if width:
                    self.features.add_module(str(number), nn.Conv2d(channels, width, 3, padding=1))
                    self.features.add_module(str(number + 1), nn.ReLU())
                    channels = width
                else:
                    self.features.add_module(str(number), nn.MaxPool2d(2))
            self.classifier = nn.Sequential(
                *(nn.Linear(channels * (side // 2 ** len(STAGES)) ** 2, HIDDEN), nn.ReLU(), nn.Dropout()),
                *(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, CLASSES)),
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.classifier(self.features(image.permute(0, 3, 1, 2)).flatten(1))
            return result

    return Vgg19()


def build_keras(side: int) -> keras.Model:
    import keras
    from keras import layers

    x = image = keras.Input((side, side, 3), name="image")
    for number, width in _features():
        conv = {"padding": "same", "activation": "relu", "name": f"features.{number}"}
        x = layers.Conv2D(width, 3, **conv)(x) if width else layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(layers.Permute((3, 1, 2))(x))  # PyTorch's order
    for number in (0, 3):
        x = layers.Dropout(0.5)(layers.Dense(HIDDEN, activation="relu", name=f"classifier.{number}")(x))
    return keras.Model(image, layers.Dense(CLASSES, name="classifier.6")(x), name="vgg19")


def at(side: int) -> ModelSpec:
    return ModelSpec(
        summary="VGG-19, 1,000 classes",
        inputs=(TensorSpec(name="image", dtype="float32", shape=(None, side, side, 3)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
        builds={"pytorch": functools.partial(build_pytorch, side), "keras": functools.partial(build_keras, side)},
        samples=lambda: {"image": synthetic.images(side)},
        edge_inputs=lambda: synthetic.edge_images(side),
        sizes=SIZES,
        imagenet="vgg19-dcbb9e9d.pth",
    )


SIZES = Sizes(what="side of the image in pixels", default=224, small=32, smallest=32, largest=1024, at=at)
MODEL = at(SIZES.default)
