"""digits_cnn: a small convolutional network on scikit-learn's bundled handwritten digits (1,797 real 8x8 images, offline).

The input has no channel axis, so the same bytes fit both frameworks, although Keras counts channels last and PyTorch first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serveoff.contract import TensorSpec
from serveoff.plugins import Dataset, ModelSpec, Tensors

if TYPE_CHECKING:
    import keras
    import torch

CLASSES = 10
SIDE = 8
EVALUATION_SHARE = 0.2
SPLIT_SEED = 20_240


def build_pytorch() -> torch.nn.Module:
    import torch
    from torch import nn

    class DigitsCnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
            self.dense1 = nn.Linear(32 * (SIDE // 2) ** 2, 64)
            self.logits = nn.Linear(64, CLASSES)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.conv1(image.unsqueeze(1)))
            x = torch.relu(self.conv2(x))
            x = torch.max_pool2d(x, 2)
            x = x.permute(0, 2, 3, 1).flatten(1)  # Keras flattens in this order: height, width, channel
            result: torch.Tensor = self.logits(torch.relu(self.dense1(x)))
            return result

    return DigitsCnn()


def build_keras() -> keras.Model:
    import keras
    from keras import layers

    image = keras.Input((SIDE, SIDE), name="image")
    x = layers.Reshape((SIDE, SIDE, 1), name="channel")(image)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="dense1")(x)
    return keras.Model(image, layers.Dense(CLASSES, name="logits")(x), name="digits_cnn")


def dataset() -> Dataset:
    """Images scaled to 0..1 (float32, [rows, 8, 8]) and labels (int64, [rows]); one split for every framework and every run."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    scaled = (images.reshape(-1, SIDE, SIDE) / 16).astype(np.float32)
    train_x, eval_x, train_y, eval_y = train_test_split(
        scaled, labels.astype(np.int64), test_size=EVALUATION_SHARE, stratify=labels, random_state=SPLIT_SEED
    )
    return Dataset(train_inputs={"image": train_x}, train_labels=train_y, eval_inputs={"image": eval_x}, eval_labels=eval_y)


def edge_inputs() -> dict[str, Tensors]:
    import numpy as np

    shape: Any = (2, SIDE, SIDE)
    return {
        "all black": {"image": np.zeros(shape, np.float32)},
        "all white": {"image": np.ones(shape, np.float32)},
        "out of range": {"image": np.full(shape, -3.5, np.float32)},
    }


MODEL = ModelSpec(
    summary="small CNN on scikit-learn's digits, 8x8 grey images, 10 classes",
    inputs=(TensorSpec(name="image", dtype="float32", shape=(None, SIDE, SIDE)),),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
    builds={"pytorch": build_pytorch, "keras": build_keras},
    dataset=dataset,
    edge_inputs=edge_inputs,
    default=True,
)
