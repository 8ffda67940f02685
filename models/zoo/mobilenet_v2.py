"""MobileNetV2 (arXiv:1801.04381) with torchvision's names: a checkpoint of torchvision's fits.

Images come channels last in every format: PyTorch sees them through a view, and computes in that order itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

CLASSES = 1000
FIRST, LAST = 32, 1280
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""The paper's table 2: expansion, channels, blocks, stride of the first block."""
EPSILON, MOMENTUM = 1e-5, 0.1


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Each block's name, expansion, channels in and out, and stride."""
    channels, number = FIRST, 1
    for expansion, width, count, first_stride in STAGES:
        for repeat in range(count):
            yield f"features.{number}", expansion, channels, width, first_stride if repeat == 0 else 1
            channels, number = width, number + 1


def build_pytorch() -> torch.nn.Module:
    from torch import nn

    def convolved(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU6())

    class Block(nn.Module):
        def __init__(self, expansion: int, channels: int, width: int, stride: int) -> None:
            super().__init__()
            inner = expansion * channels
            self.conv = nn.Sequential(
                *([convolved(channels, inner, 1)] if expansion > 1 else []),
                convolved(inner, inner, 3, stride, groups=inner),
                nn.Conv2d(inner, width, 1, bias=False),
                nn.BatchNorm2d(width),
            )
            self.residual = stride == 1 and channels == width

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = x + self.conv(x) if self.residual else self.conv(x)
            return result

    class MobileNetV2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            blocks = [Block(*shape) for _, *shape in _blocks()]
            self.features = nn.Sequential(convolved(3, FIRST, 3, 2), *blocks, convolved(STAGES[-1][1], LAST, 1))
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(LAST, CLASSES))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.classifier(self.features(image.permute(0, 3, 1, 2)).mean((2, 3)))
            return result

    return MobileNetV2()


def build_keras(side: int) -> keras.Model:
    import keras
    from keras import layers

    def normed(x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=EPSILON, momentum=1 - MOMENTUM, name=name)(x)

    def convolved(x: Any, width: int, kernel: int, stride: int, name: str) -> Any:
        x = layers.ZeroPadding2D(kernel // 2)(x) if kernel > 1 else x  # at stride 2, "same" pads on one side only
        x = layers.Conv2D(width, kernel, stride, use_bias=False, name=f"{name}.0")(x)
        return layers.ReLU(6.0)(normed(x, f"{name}.1"))

    def block(x: Any, name: str, expansion: int, channels: int, width: int, stride: int) -> Any:
        name, number = f"{name}.conv", int(expansion > 1)
        inner = convolved(x, expansion * channels, 1, 1, f"{name}.0") if expansion > 1 else x
        inner = layers.ZeroPadding2D(1)(inner)
        inner = layers.DepthwiseConv2D(3, stride, use_bias=False, name=f"{name}.{number}.0")(inner)
        inner = layers.ReLU(6.0)(normed(inner, f"{name}.{number}.1"))
        inner = layers.Conv2D(width, 1, use_bias=False, name=f"{name}.{number + 1}")(inner)
        inner = normed(inner, f"{name}.{number + 2}")
        return layers.Add()([x, inner]) if stride == 1 and channels == width else inner

    image = keras.Input((side, side, 3), name="image")
    x = convolved(image, FIRST, 3, 2, "features.0")
    for shape in _blocks():
        x = block(x, *shape)
    x = convolved(x, LAST, 1, 1, "features.18")
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(CLASSES, name="classifier.1")(x), name="mobilenet_v2")


def at(side: int) -> ModelSpec:
    return ModelSpec(
        summary="MobileNetV2, 1,000 classes",
        inputs=(TensorSpec(name="image", dtype="float32", shape=(None, side, side, 3)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
        builds={"pytorch": build_pytorch, "keras": functools.partial(build_keras, side)},
        samples=lambda: {"image": synthetic.images(side)},
        edge_inputs=lambda: synthetic.edge_images(side),
        sizes=SIZES,
        imagenet="mobilenet_v2-7ebf99e0.pth",
    )


SIZES = Sizes(what="side of the image in pixels", default=224, small=64, smallest=32, largest=1024, at=at)
MODEL = at(SIZES.default)
