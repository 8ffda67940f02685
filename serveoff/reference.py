"""The source model's answers to its samples, kept beside each artifact as an .npz."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serveoff import storage
from serveoff.errors import InputError

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
    plain = {k: v.astype(np.bytes_) if v.dtype == object else v for k, v in arrays.items()}  # texts, without pickling them
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, labels=reference.labels, **plain)
    storage.write_bytes(path, buffer.getvalue())


def load(path: Path) -> Reference:
    """Raises InputError when the file is missing or damaged."""
    import numpy as np

    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:  # np.load leaves a damaged file open
            arrays = {k: a.astype(object) if (a := file[k]).dtype.kind == "S" else a for k in file.files}
            return Reference(
                inputs={k.removeprefix("input:"): a for k, a in arrays.items() if k.startswith("input:")},
                outputs={k.removeprefix("output:"): a for k, a in arrays.items() if k.startswith("output:")},
                labels=arrays["labels"],
            )
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}, the source model's answers, is missing or damaged: {error}",
            "run the stage that wrote it again: `serveoff train` or `serveoff export`",
        ) from error
