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


def test_an_lstm_has_one_bias_and_a_depthwise_kernel_other_axes() -> None:
    class LSTM(SimpleNamespace):
        pass

    class DepthwiseConv2D(SimpleNamespace):
        pass

    rng = np.random.default_rng(0)
    lstm = LSTM(
        name="lstm",
        weights=[Variable("kernel", np.zeros((3, 8))), Variable("recurrent_kernel", np.zeros((2, 8))), Variable("bias", np.zeros(8))],
    )
    depthwise = DepthwiseConv2D(name="dw", weights=[Variable("kernel", np.zeros((5, 3, 4, 1)))])
    norm = SimpleNamespace(name="norm", weights=[Variable("gamma", np.zeros(4)), Variable("moving_variance", np.zeros(4))])
    shapes = {"lstm.weight_ih_l0": (8, 3), "lstm.weight_hh_l0": (8, 2), "lstm.bias_ih_l0": (8,), "dw.weight": (4, 1, 5, 3)}
    given = {name: rng.normal(size=shape) for name, shape in {**shapes, "norm.weight": (4,), "norm.running_var": (4,)}.items()}
    model = SimpleNamespace(layers=[lstm, depthwise, norm])
    weights.into_keras(model, given)
    assert depthwise.weights[0].value[4, 2, 3, 0] == given["dw.weight"][3, 0, 4, 2]
    back = weights.from_keras(model)
    assert back.keys() == given.keys()
    assert all(np.array_equal(back[name], given[name]) for name in given)


@pytest.mark.integration
def test_pytorchs_two_biases_travel_as_their_sum() -> None:
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.LSTM(3, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights.into_pytorch(model, weights.from_pytorch(model))
    after = model.state_dict()
    assert torch.equal(after["0.bias_ih_l0"], before["0.bias_ih_l0"] + before["0.bias_hh_l0"])
    assert not after["0.bias_hh_l0"].any()


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
