"""What the rest of the intake needs of a model, whatever opened it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from serveoff.contract import TensorSpec
    from serveoff.plugins import Array, Tensors

    from .samples import Ids


class Opened(Protocol):
    """A model of the user's own. `inputs` is what it tells of its inputs itself; empty when it tells nothing.

    `ids`: input -> the ids that it takes, where the model knows.
    """

    inputs: tuple[TensorSpec, ...]
    ids: Mapping[str, Ids]

    def settle(self, inputs: tuple[TensorSpec, ...], samples: Tensors) -> None:
        """These are the inputs, in the model's order, and a few samples of them. Called once, before the first `run`."""
        ...

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """All outputs by name, in the model's order. Raises InputError for inputs that the model refuses."""
        ...

    def weights(self) -> Mapping[str, Array]:
        """By names that `restore` takes back; empty for a file whose weights are its own affair."""
        ...

    def restore(self, weights: Mapping[str, Array]) -> None: ...

    def shared(self) -> Mapping[str, Array]:
        """The weights as `models.weights` names them for both frameworks. Raises InputError where it has no names for them."""
        ...

    def adopt(self, shared: Mapping[str, Array]) -> None:
        """Take the other framework's weights. Raises InputError when the layers are not named alike."""
        ...

    def native(self) -> Any:
        """What a format exports: positional tensors in, a tensor or a list of tensors out; of a given file, its directory."""
        ...
