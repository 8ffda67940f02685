"""GNMT v2 (arXiv:1609.08144, in the form of MLPerf's benchmark): LSTM encoder and decoder of four layers, additive attention.

The greedy decoder is unrolled inside the graph, for `LENGTH` steps, so that every format carries it. MLPerf's has 1,024 units and a
vocabulary of 32,320; it keeps padding out of the encoder by packing, which no format has: here, attention alone does not see it.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from serveoff.contract import TensorSpec
from serveoff.plugins import ModelSpec, Sizes, Tensors

from .. import synthetic

if TYPE_CHECKING:
    import keras
    import torch

VOCABULARY, PAD, BEGIN, END, FIRST_WORD = 8_192, synthetic.PAD, 1, 2, 3
LENGTH, LAYERS = 16, 4
HIDDEN_BY_MASK = -1e9


def build_pytorch(units: int, *, taught: bool = False) -> torch.nn.Module:
    import torch
    from torch import nn

    class Gnmt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(VOCABULARY, units)
            first = nn.LSTM(units, units, batch_first=True, bidirectional=True)
            widths = (2 * units, *[units] * (LAYERS - 2))
            self.encoder = nn.ModuleList([first, *(nn.LSTM(width, units, batch_first=True) for width in widths)])
            self.decoder = nn.ModuleList(nn.LSTMCell(units if layer == 0 else 2 * units, units) for layer in range(LAYERS))
            self.query, self.key = nn.Linear(units, units, bias=False), nn.Linear(units, units)
            self.energy, self.vocabulary = nn.Linear(units, 1, bias=False), nn.Linear(units, VOCABULARY)

        def forward(self, source: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return self.decode(*self.encode(source, length))

        def encode(self, source: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.words(source)
            for number, layer in enumerate(self.encoder):
                result, _ = layer(x)
                x = result + x if number > 1 else result
            bias = torch.where(torch.arange(LENGTH, device=source.device) < length[:, None], 0.0, HIDDEN_BY_MASK).to(x.dtype)
            return x, bias

        def decode(self, memory: torch.Tensor, bias: torch.Tensor, target: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
            keys, empty = self.key(memory), torch.zeros_like(memory[:, 0])
            states = [(empty, empty)] * LAYERS
            word = torch.full_like(bias[:, 0], BEGIN, dtype=torch.int64)
            words, scores, everything = [], [], []
            for step in range(LENGTH):
                states[0] = self.decoder[0](self.words(word), states[0])
                x = states[0][0]
                energy = self.energy(torch.tanh(self.query(x)[:, None] + keys))[..., 0]
                seen = torch.bmm(torch.softmax(energy + bias, -1)[:, None], memory)[:, 0]
                for number in range(1, LAYERS):
                    states[number] = self.decoder[number](torch.cat((x, seen), -1), states[number])
                    x = states[number][0] + x if number > 1 else states[number][0]
                logits = self.vocabulary(x)
                if target is not None:
                    everything.append(logits)
                    word = target[:, step]
                    continue
                ended = (word == END) | (word == PAD)
                score, best = logits.max(-1)
                word = torch.where(ended, PAD, best)
                words.append(word)
                scores.append(torch.where(ended, 0.0, score))
            return (torch.stack(everything, 1),) if target is not None else (torch.stack(words, 1), torch.stack(scores, 1))

    class Taught(Gnmt):
        def forward(self, source: torch.Tensor, length: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
            return self.decode(*self.encode(source, length), target)

    return Taught() if taught else Gnmt()


def build_keras(units: int, *, taught: bool = False) -> keras.Model:
    import keras
    from keras import layers, ops

    def lstm(**options: Any) -> Any:  # unrolled: a loop over a dynamic batch is nothing that TFLite has of its own
        return layers.LSTM(units, return_sequences=True, unroll=True, **options)

    source, length = keras.Input((LENGTH,), dtype="int64", name="source"), keras.Input((), dtype="int64", name="length")
    target = keras.Input((LENGTH,), dtype="int64", name="target") if taught else None
    embedding = layers.Embedding(VOCABULARY, units, name="words")
    x = layers.Bidirectional(lstm(), name="encoder.0")(embedding(source))
    for number in range(1, LAYERS):
        result = lstm(name=f"encoder.{number}")(x)
        x = result + x if number > 1 else result
    memory, keys = x, layers.Dense(units, name="key")(x)
    bias = ops.where(length[:, None] > ops.arange(LENGTH, dtype="int64"), 0.0, HIDDEN_BY_MASK)

    cells = [layers.LSTMCell(units, name=f"decoder.{number}") for number in range(LAYERS)]
    query, energy = layers.Dense(units, use_bias=False, name="query"), layers.Dense(1, use_bias=False, name="energy")
    vocabulary = layers.Dense(VOCABULARY, name="vocabulary")
    empty = ops.zeros_like(memory[:, 0])
    states = [[empty, empty]] * LAYERS
    word = ops.zeros_like(source[:, 0]) + BEGIN
    words, scores, everything = [], [], []
    for step in range(LENGTH):
        x, states[0] = cells[0](embedding(word), states[0])
        weights = ops.softmax(energy(ops.tanh(query(x)[:, None] + keys))[..., 0] + bias)
        seen = ops.matmul(weights[:, None], memory)[:, 0]
        for number in range(1, LAYERS):
            result, states[number] = cells[number](ops.concatenate([x, seen], -1), states[number])
            x = result + x if number > 1 else result
        logits = vocabulary(x)
        if target is not None:
            everything.append(logits)
            word = target[:, step]
            continue
        ended = ops.logical_or(ops.equal(word, END), ops.equal(word, PAD))
        highest, places = ops.top_k(logits, 1)  # Keras' argmax turns bits, which TFLite does not
        score, best = highest[:, 0], ops.cast(places[:, 0], "int64")
        word = ops.where(ended, ops.zeros_like(best), best)
        words.append(word)
        scores.append(ops.where(ended, ops.zeros_like(score), score))
    if target is not None:
        return keras.Model([source, length, target], ops.stack(everything, 1), name="gnmt_v2")
    return keras.Model([source, length], [ops.stack(words, 1), ops.stack(scores, 1)], name="gnmt_v2")


def samples() -> Tensors:
    source, length = synthetic.sentences(VOCABULARY, FIRST_WORD, LENGTH)
    return {"source": source, "length": length}


def edge_inputs() -> dict[str, Tensors]:
    import numpy as np

    drawn = np.random.default_rng(synthetic.SEED).integers(FIRST_WORD, VOCABULARY, (5, LENGTH))
    one = np.where(np.arange(LENGTH)[None] == 0, FIRST_WORD, PAD)
    return {
        "one word": {"source": one, "length": np.ones(1, np.int64)},
        "no words": {"source": np.full((2, LENGTH), PAD), "length": np.zeros(2, np.int64)},
        "the last word": {"source": np.full((2, LENGTH), VOCABULARY - 1), "length": np.full(2, LENGTH)},
        "evenly drawn": {"source": drawn, "length": np.full(5, LENGTH)},
    }


def at(units: int) -> ModelSpec:
    return ModelSpec(
        summary=f"GNMT v2, LSTM translation with attention, {LENGTH} words",
        inputs=(TensorSpec(name="source", dtype="int64", shape=(None, LENGTH)), TensorSpec(name="length", dtype="int64", shape=(None,))),
        outputs=(
            TensorSpec(name="words", dtype="int64", shape=(None, LENGTH)),
            TensorSpec(name="scores", dtype="float32", shape=(None, LENGTH)),
        ),
        builds={"pytorch": functools.partial(build_pytorch, units), "keras": functools.partial(build_keras, units)},
        samples=samples,
        edge_inputs=edge_inputs,
        sizes=SIZES,
        trained_as=functools.partial(taught_at, units),
    )


def taught_at(units: int) -> ModelSpec:
    """As it is trained: each step is given the right word before its own, and tells the scores of all words (arXiv:1609.08144, 3)."""
    made = at(units)
    target, _ = synthetic.sentences(VOCABULARY, FIRST_WORD, LENGTH, seed=synthetic.SEED + 1)
    return dataclasses.replace(
        made,
        inputs=(*made.inputs, TensorSpec(name="target", dtype="int64", shape=(None, LENGTH))),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, LENGTH, VOCABULARY)),),
        builds={
            "pytorch": functools.partial(build_pytorch, units, taught=True),
            "keras": functools.partial(build_keras, units, taught=True),
        },
        samples=lambda: {**samples(), "target": target},
        trained_as=None,
    )


SIZES = Sizes(what="units of a layer", default=512, small=32, smallest=2, largest=4096, at=at)
MODEL = at(SIZES.default)
