"""Neural collaborative filtering: NeuMF (arXiv:1708.05031) with the sizes of MLPerf's benchmark on MovieLens-20M."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes, Tensors

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

USERS, ITEMS = 138_493, 26_744


def _dense(factors: int) -> tuple[int, ...]:
    """The widths of the perceptron; its input are two embeddings of twice the factors."""
    return 4 * factors, 2 * factors, factors


def build_pytorch(factors: int) -> torch.nn.Module:
    import torch
    from torch import nn

    class NeuMf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mf_user, self.mf_item = nn.Embedding(USERS, factors), nn.Embedding(ITEMS, factors)
            self.mlp_user, self.mlp_item = nn.Embedding(USERS, 2 * factors), nn.Embedding(ITEMS, 2 * factors)
            self.mlp, width = nn.ModuleList(), 4 * factors
            for wanted in _dense(factors):
                self.mlp.append(nn.Linear(width, wanted))
                width = wanted
            self.score = nn.Linear(2 * factors, 1)

        def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
            x = torch.cat((self.mlp_user(user), self.mlp_item(item)), 1)
            for layer in self.mlp:
                x = torch.relu(layer(x))
            result: torch.Tensor = self.score(torch.cat((self.mf_user(user) * self.mf_item(item), x), 1))
            return result

    return NeuMf()


def build_keras(factors: int) -> keras.Model:
    import keras
    from keras import layers

    user, item = keras.Input((), dtype="int64", name="user"), keras.Input((), dtype="int64", name="item")
    mf = layers.Multiply()([layers.Embedding(USERS, factors, name="mf_user")(user), layers.Embedding(ITEMS, factors, name="mf_item")(item)])
    of_user = layers.Embedding(USERS, 2 * factors, name="mlp_user")(user)
    x = layers.Concatenate()([of_user, layers.Embedding(ITEMS, 2 * factors, name="mlp_item")(item)])
    for number, width in enumerate(_dense(factors)):
        x = layers.Dense(width, activation="relu", name=f"mlp.{number}")(x)
    score = layers.Dense(1, name="score")(layers.Concatenate()([mf, x]))
    return keras.Model([user, item], score, name="ncf")


def samples() -> Tensors:
    return {"user": synthetic.skewed(USERS), "item": synthetic.skewed(ITEMS, seed=synthetic.SEED + 1)}


def edge_inputs() -> dict[str, Tensors]:
    import numpy as np

    rng = np.random.default_rng(synthetic.SEED)
    return {
        "the first ids": {"user": np.zeros(1, np.int64), "item": np.zeros(1, np.int64)},
        "the last ids": {"user": np.full(2, USERS - 1), "item": np.full(2, ITEMS - 1)},
        "evenly drawn": {"user": rng.integers(0, USERS, 5), "item": rng.integers(0, ITEMS, 5)},
    }


def at(factors: int) -> ModelSpec:
    return ModelSpec(
        summary="NCF (NeuMF), 138,493 users and 26,744 items",
        inputs=(TensorSpec(name="user", dtype="int64", shape=(None,)), TensorSpec(name="item", dtype="int64", shape=(None,))),
        outputs=(TensorSpec(name="score", dtype="float32", shape=(None, 1)),),
        builds={"pytorch": functools.partial(build_pytorch, factors), "keras": functools.partial(build_keras, factors)},
        samples=samples,
        edge_inputs=edge_inputs,
        sizes=SIZES,
    )


SIZES = Sizes(what="factors of an embedding", default=64, small=8, smallest=1, largest=1024, at=at)
MODEL = at(SIZES.default)
