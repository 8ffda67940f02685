from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from models import weights
from serveoff.errors import InputError


class Variable:
    """What a Keras variable looks like from here."""

    def __init__(self, name: str, value: np.ndarray) -> None:
        self.name, self.value = name, value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def numpy(self) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        assert value.shape == self.value.shape
        self.value = value


def keras_like() -> SimpleNamespace:
    conv = SimpleNamespace(name="conv", weights=[Variable("kernel", np.zeros((3, 2, 1, 4))), Variable("bias", np.zeros(4))])
    dense = SimpleNamespace(name="dense", weights=[Variable("kernel", np.zeros((5, 6)))])
    return SimpleNamespace(layers=[conv, SimpleNamespace(name="flatten", weights=[]), dense])


def test_keras_axes_there_and_back() -> None:
    rng = np.random.default_rng(0)
    given = {"conv.weight": rng.normal(size=(4, 1, 3, 2)), "conv.bias": rng.normal(size=4), "dense.weight": rng.normal(size=(6, 5))}
    model = keras_like()
    weights.into_keras(model, given)
    assert model.layers[0].weights[0].value[2, 1, 0, 3] == given["conv.weight"][3, 0, 2, 1]
    back = weights.from_keras(model)
    assert back.keys() == given.keys()
    assert all(np.array_equal(back[name], given[name]) for name in given)


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match=r"do not have the same layers: conv\.bias, dense\.weight, head\.weight"):
        weights.into_keras(keras_like(), {"conv.weight": np.zeros((4, 1, 3, 2)), "head.weight": np.zeros((2, 2))})


def test_files(tmp_path: Path) -> None:
    given = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.ones(2, np.float32)}
    weights.save(tmp_path / "w.safetensors", given)
    assert all(np.array_equal(weights.load(tmp_path / "w.safetensors")[name], given[name]) for name in given)
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="does not hold weights"):
        weights.load(tmp_path / "broken.safetensors")
