"""AlexNet as torchvision has it ("One weird trick", arXiv:1404.5997), with its names: a checkpoint of torchvision's fits.

Images come channels last in every format: PyTorch sees them through a view, and computes in that order itself.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

CLASSES = 1000
HIDDEN = 4096
CONVOLUTIONS = ((0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1), (10, 256, 3, 1, 1))
"""Each with its number among `features`, channels, kernel, stride and padding."""
POOLED = (0, 3, 10)
"""Followed by a 3x3 pooling of stride 2."""


def build_pytorch(side: int) -> torch.nn.Module:
    from torch import nn

    class AlexNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential()
            channels = 3
            for number, width, kernel, stride, padding in CONVOLUTIONS:
                self.features.add_module(str(number), nn.Conv2d(channels, width, kernel, stride, padding))
                self.features.add_module(str(number + 1), nn.ReLU())
                if number in POOLED:
                    self.features.add_module(str(number + 2), nn.MaxPool2d(3, 2))
                channels = width
            self.classifier = nn.Sequential(
                *(nn.Dropout(), nn.Linear(channels * _left(side) ** 2, HIDDEN), nn.ReLU()),
                *(nn.Dropout(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)),
            )

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.classifier(self.features(image.permute(0, 3, 1, 2)).flatten(1))
            return result

    return AlexNet()


def build_keras(side: int) -> keras.Model:
    import keras
    from keras import layers

    x = image = keras.Input((side, side, 3), name="image")
    for number, width, kernel, stride, padding in CONVOLUTIONS:
        if stride > 1:  # of one stride, "same" is the same
            x = layers.ZeroPadding2D(padding)(x)
        same = "valid" if stride > 1 else "same"
        x = layers.Conv2D(width, kernel, stride, same, activation="relu", name=f"features.{number}")(x)
        if number in POOLED:
            x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Flatten()(layers.Permute((3, 1, 2))(x))  # PyTorch's order
    for number in (1, 4):
        x = layers.Dense(HIDDEN, activation="relu", name=f"classifier.{number}")(layers.Dropout(0.5)(x))
    return keras.Model(image, layers.Dense(CLASSES, name="classifier.6")(x), name="alexnet")


def _left(side: int) -> int:
    """The side of what the convolutions leave."""
    for number, _, kernel, stride, padding in CONVOLUTIONS:
        side = (side + 2 * padding - kernel) // stride + 1
        side = (side - 3) // 2 + 1 if number in POOLED else side
    return side


def at(side: int) -> ModelSpec:
    return ModelSpec(
        summary="AlexNet, 1,000 classes",
        inputs=(TensorSpec(name="image", dtype="float32", shape=(None, side, side, 3)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
        builds={"pytorch": functools.partial(build_pytorch, side), "keras": functools.partial(build_keras, side)},
        samples=lambda: {"image": synthetic.images(side)},
        edge_inputs=lambda: synthetic.edge_images(side),
        sizes=SIZES,
        imagenet="alexnet-owt-7be5be79.pth",
    )


SIZES = Sizes(what="side of the image in pixels", default=224, small=63, smallest=63, largest=1024, at=at)
MODEL = at(SIZES.default)
