"""The contract of a model, as a file of `models/zoo` holds it. Part of `serveoff.plugins`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serveoff.contract import Framework, TensorSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Tensors = Mapping[str, Array]
else:
    Array = Any
    Tensors = Mapping


@dataclass(frozen=True, slots=True)
class Dataset:
    """Inputs (batch first) and integer labels, for training and for evaluation. Evaluation inputs are also the load's samples."""

    train_inputs: Tensors
    train_labels: Array
    eval_inputs: Tensors
    eval_labels: Array


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model that comes in sizes, `NAME@SIZE`: `what` says what the number is, `at` makes the spec of one size."""

    what: str
    default: int
    small: int
    """`NAME@small`: every layer still has something to do, and an export takes seconds."""
    smallest: int
    largest: int
    at: Callable[[int], ModelSpec]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, framework by framework.

    `builds` makes an untrained native model (torch.nn.Module, keras.Model) whose layers carry the same names in both frameworks.
    Both take and return the tensors of `inputs` and `outputs`, in that order. It has a `dataset`, or `samples`.
    """

    summary: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    builds: Mapping[Framework, Callable[[], Any]]
    edge_inputs: Callable[[], Mapping[str, Tensors]]
    """Named inputs at the limits of the domain (zeros, the largest value ...), each with a batch dimension."""
    dataset: Callable[[], Dataset] | None = None
    """None: there is nothing to train on, weights are drawn from the seed."""
    samples: Callable[[], Tensors] | None = None
    """The load's inputs, where there is no data set."""
    sizes: Sizes | None = None
    default: bool = False
    """Trained and exported where no model is named."""
    imagenet: str = ""
    """The file of ImageNet's weights as torchvision publishes it, whose network this is; its name ends in the beginning of its sha256."""
    trained_as: Callable[[], ModelSpec] | None = None
    """The form that is trained, where it is another one: the same layers, and scores first among its outputs."""

    def evaluation(self) -> tuple[Tensors, Array]:
        """The load's samples, and their labels: -1 where there are none (int64, [rows])."""
        import numpy as np

        if self.dataset is not None:
            data = self.dataset()
            return data.eval_inputs, data.eval_labels
        assert self.samples is not None, "a model has a data set or samples"
        inputs = self.samples()
        return inputs, np.full(len(next(iter(inputs.values()))), -1)
