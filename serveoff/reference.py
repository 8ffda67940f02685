"""The source model's answers to its samples, kept beside each artifact as an .npz."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serveoff import storage

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors


@dataclass(frozen=True, slots=True)
class Reference:
    """`inputs` and `outputs` by name, batch first; `labels` (int64, [rows])."""

    inputs: Tensors
    outputs: Tensors
    labels: Array

    @property
    def rows(self) -> int:
        return len(self.labels)

    def slice(self, start: int, stop: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """Rows `start` to `stop`: (inputs, outputs)."""
        return {k: v[start:stop] for k, v in self.inputs.items()}, {k: v[start:stop] for k, v in self.outputs.items()}


def save(path: Path, reference: Reference) -> None:
    import numpy as np

    arrays = {f"input:{k}": v for k, v in reference.inputs.items()} | {f"output:{k}": v for k, v in reference.outputs.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, labels=reference.labels, **arrays)
    storage.write_bytes(path, buffer.getvalue())


def load(path: Path) -> Reference:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return Reference(
            inputs={k.removeprefix("input:"): file[k] for k in file.files if k.startswith("input:")},
            outputs={k.removeprefix("output:"): file[k] for k in file.files if k.startswith("output:")},
            labels=file["labels"],
        )
