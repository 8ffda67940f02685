"""ResNet-50 v1.5 (arXiv:1512.03385, the stride in the 3x3 convolution, as in MLPerf) with torchvision's names: its checkpoints fit.

Images come channels last in every format: PyTorch sees them through a view, and computes in that order itself.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

CLASSES = 1000
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""The channels inside a block, four times as many outside, and the number of blocks."""
EPSILON, MOMENTUM = 1e-5, 0.1
BRANCH_SCALE = 0.2
"""What the last norm of a branch starts from: near 0, so that a block first passes on what it gets (arXiv:1706.02677, 5.1)."""


def build_pytorch() -> torch.nn.Module:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
            nn.init.constant_(self.bn3.weight, BRANCH_SCALE)
            self.downsample = nn.Sequential()
            if channels != 4 * width:
                self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner = torch.relu(self.bn1(self.conv1(x)))
            inner = torch.relu(self.bn2(self.conv2(inner)))
            return torch.relu(self.bn3(self.conv3(inner)) + self.downsample(x))

    class ResNet50(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64)
            channels = 64
            for number, (width, blocks) in enumerate(STAGES, 1):
                stride = 1 if number == 1 else 2
                inside = [Block(channels, width, stride), *(Block(4 * width, width, 1) for _ in range(blocks - 1))]
                self.add_module(f"layer{number}", nn.Sequential(*inside))
                channels = 4 * width
            self.fc = nn.Linear(channels, CLASSES)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.bn1(self.conv1(image.permute(0, 3, 1, 2))))
            x = torch.max_pool2d(x, 3, 2, padding=1)
            for number in range(1, len(STAGES) + 1):
                x = self.get_submodule(f"layer{number}")(x)
            result: torch.Tensor = self.fc(x.mean((2, 3)))
            return result

    return ResNet50()


def build_keras(side: int) -> keras.Model:
    import keras
    from keras import layers

    def convolved(x: Any, width: int, kernel: int, stride: int, conv: str, norm: str, scale: float = 1) -> Any:
        if kernel > 1:
            x = layers.ZeroPadding2D(kernel // 2)(x)  # at stride 2, "same" pads on one side only
        x = layers.Conv2D(width, kernel, stride, use_bias=False, name=conv)(x)
        start = keras.initializers.Constant(scale)
        return layers.BatchNormalization(epsilon=EPSILON, momentum=1 - MOMENTUM, gamma_initializer=start, name=norm)(x)

    image = keras.Input((side, side, 3), name="image")
    x = layers.ReLU()(convolved(image, 64, 7, 2, "conv1", "bn1"))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # after a ReLU, no padded zero wins over a value
    for number, (width, blocks) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, stride = f"layer{number}.{block}", 2 if block == 0 and number > 1 else 1
            inner = layers.ReLU()(convolved(x, width, 1, 1, f"{name}.conv1", f"{name}.bn1"))
            inner = layers.ReLU()(convolved(inner, width, 3, stride, f"{name}.conv2", f"{name}.bn2"))
            inner = convolved(inner, 4 * width, 1, 1, f"{name}.conv3", f"{name}.bn3", BRANCH_SCALE)
            if block == 0:
                x = convolved(x, 4 * width, 1, stride, f"{name}.downsample.0", f"{name}.downsample.1")
            x = layers.ReLU()(layers.Add()([inner, x]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(CLASSES, name="fc")(x), name="resnet50")


def at(side: int) -> ModelSpec:
    return ModelSpec(
        summary="ResNet-50 v1.5, 1,000 classes",
        inputs=(TensorSpec(name="image", dtype="float32", shape=(None, side, side, 3)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
        builds={"pytorch": build_pytorch, "keras": functools.partial(build_keras, side)},
        samples=lambda: {"image": synthetic.images(side)},
        edge_inputs=lambda: synthetic.edge_images(side),
        sizes=SIZES,
        imagenet="resnet50-11ad3fa6.pth",
    )


SIZES = Sizes(what="side of the image in pixels", default=224, small=32, smallest=32, largest=1024, at=at)
MODEL = at(SIZES.default)
