"""A transformer encoder with a classifier on it, of BERT-Tiny's sizes (arXiv:1908.08962: 2 layers of 128 units, 2 heads)."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes, Tensors

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

VOCABULARY, FIRST_WORD = 30_522, 999
POSITIONS, LAYERS, UNITS, HEADS, INNER, CLASSES = 512, 2, 128, 2, 512, 2
EPSILON = 1e-12
HIDDEN_BY_MASK = -40.0
"""Added to the score of what the mask hides: its weight is 4e-18 of what it would be, nothing beside float32's 6e-8. No more than that:
int8 has 255 steps for all scores, and with -1e9 all that is seen lies on one of them."""


def build_pytorch() -> torch.nn.Module:
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = nn.Linear(UNITS, UNITS), nn.Linear(UNITS, UNITS), nn.Linear(UNITS, UNITS)
            self.attended, self.norm1 = nn.Linear(UNITS, UNITS), nn.LayerNorm(UNITS, EPSILON)
            self.inner, self.outer, self.norm2 = nn.Linear(UNITS, INNER), nn.Linear(INNER, UNITS), nn.LayerNorm(UNITS, EPSILON)

        def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            query, key, value = (
                layer(x).unflatten(-1, (HEADS, UNITS // HEADS)).transpose(1, 2) for layer in (self.query, self.key, self.value)
            )
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, bias)
            x = self.norm1(x + self.attended(mixed.transpose(1, 2).flatten(2)))
            result: torch.Tensor = self.norm2(x + self.outer(nn.functional.gelu(self.inner(x))))
            return result

    class BertTiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.positions = nn.Embedding(VOCABULARY, UNITS), nn.Embedding(POSITIONS, UNITS)
            self.norm = nn.LayerNorm(UNITS, EPSILON)
            self.layer = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.pooler, self.classifier = nn.Linear(UNITS, UNITS), nn.Linear(UNITS, CLASSES)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)
            x = self.norm(self.words(input_ids) + self.positions(places))
            bias = ((1 - attention_mask) * HIDDEN_BY_MASK).to(x.dtype)[:, None, None, :]
            for layer in self.layer:
                x = layer(x, bias)
            result: torch.Tensor = self.classifier(torch.tanh(self.pooler(x[:, 0])))
            return result

    return BertTiny()


def build_keras(length: int) -> keras.Model:
    import keras
    from keras import layers, ops

    def normed(x: Any, name: str) -> Any:
        return layers.LayerNormalization(epsilon=EPSILON, name=name)(x)

    def heads(x: Any, name: str) -> Any:
        split = ops.reshape(layers.Dense(UNITS, name=name)(x), (-1, length, HEADS, UNITS // HEADS))
        return ops.transpose(split, (0, 2, 1, 3))

    def attended(x: Any, bias: Any, name: str) -> Any:
        query, key, value = (heads(x, f"{name}.{what}") for what in ("query", "key", "value"))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * (1 / math.sqrt(UNITS // HEADS))
        mixed = ops.transpose(ops.matmul(ops.softmax(scores + bias), value), (0, 2, 1, 3))
        return layers.Dense(UNITS, name=f"{name}.attended")(ops.reshape(mixed, (-1, length, UNITS)))

    input_ids = keras.Input((length,), dtype="int64", name="input_ids")
    attention_mask = keras.Input((length,), dtype="int64", name="attention_mask")
    places = ops.maximum(
        ops.zeros_like(input_ids), ops.arange(length, dtype="int64")
    )  # a sum becomes a BiasAdd, which TFLite lacks for int64
    words = layers.Embedding(VOCABULARY, UNITS, name="words")(input_ids)
    x = normed(words + layers.Embedding(POSITIONS, UNITS, name="positions")(places), "norm")
    bias = ops.reshape(ops.cast(1 - attention_mask, x.dtype) * HIDDEN_BY_MASK, (-1, 1, 1, length))
    for number in range(LAYERS):
        name = f"layer.{number}"
        x = normed(x + attended(x, bias, name), f"{name}.norm1")
        inner = layers.Dense(INNER, activation=lambda x: ops.gelu(x, approximate=False), name=f"{name}.inner")(x)
        x = normed(x + layers.Dense(UNITS, name=f"{name}.outer")(inner), f"{name}.norm2")
    pooled = layers.Dense(UNITS, activation="tanh", name="pooler")(x[:, 0])
    return keras.Model([input_ids, attention_mask], layers.Dense(CLASSES, name="classifier")(pooled), name="bert_tiny")


def samples(length: int) -> Tensors:
    import numpy as np

    ids, _ = synthetic.sentences(VOCABULARY, FIRST_WORD, length)
    return {"input_ids": ids, "attention_mask": (ids != synthetic.PAD).astype(np.int64)}


def edge_inputs(length: int) -> dict[str, Tensors]:
    import numpy as np

    def case(ids: Any, mask: Any) -> Tensors:
        return {"input_ids": np.asarray(ids, np.int64), "attention_mask": np.asarray(mask, np.int64)}

    drawn = np.random.default_rng(synthetic.SEED).integers(0, VOCABULARY, (5, length))
    full, one = np.ones((2, length)), np.arange(length)[None] == 0
    return {
        "one word": case(FIRST_WORD * one, one),
        "no padding, the last word": case((VOCABULARY - 1) * full, full),
        "all hidden": case(0 * full, 0 * full),
        "evenly drawn": case(drawn, np.ones_like(drawn)),
    }


def at(length: int) -> ModelSpec:
    return ModelSpec(
        summary="BERT-Tiny, a transformer encoder, 2 classes",
        inputs=tuple(TensorSpec(name=name, dtype="int64", shape=(None, length)) for name in ("input_ids", "attention_mask")),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
        builds={"pytorch": build_pytorch, "keras": functools.partial(build_keras, length)},
        samples=functools.partial(samples, length),
        edge_inputs=functools.partial(edge_inputs, length),
        sizes=SIZES,
    )


SIZES = Sizes(what="length of the text in tokens", default=128, small=16, smallest=2, largest=POSITIONS, at=at)
MODEL = at(SIZES.default)
