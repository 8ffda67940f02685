"""Reads weights from files that Keras wrote, in each layout, and from Keras applications' in the layouts of their downloads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
from keras.src.legacy.saving import legacy_h5_format

from models import weights
from models.frameworks import keras as framework
from serveoff.errors import InputError
from serveoff.registry import MODELS

MODEL, GNMT = "mobilenet_v2@32", "gnmt_v2@4"


def older(model: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def main() -> None:
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(5)
    model, gnmt = (MODELS.load(name).builds["keras"]() for name in (MODEL, GNMT))
    model.save_weights(folder / "w.weights.h5")
    model.save(folder / "w.h5")
    older(model, folder / "older.h5")
    weights.save(folder / "w.safetensors", weights.from_keras(model))
    gnmt.save_weights(folder / "gnmt.weights.h5")
    same = {}
    for path in folder.iterdir():
        name, made = (GNMT, gnmt) if path.name.startswith("gnmt") else (MODEL, model)
        found, wanted = framework.read(MODELS.load(name), path), weights.from_keras(made)
        same[path.name] = found.keys() == wanted.keys() and all(np.array_equal(found[key], wanted[key]) for key in wanted)

    theirs = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))
    theirs.save_weights(folder / "theirs.weights.h5")
    older(theirs, folder / "theirs.h5")
    refused = {}
    for name in ("theirs.weights.h5", "theirs.h5"):
        try:
            framework.read(MODELS.load(MODEL), folder / name)
            refused[name] = "taken"
        except InputError as error:
            refused[name] = error.message
    sys.stdout.write(f"RESULT {json.dumps({'same': same, 'refused': refused})}\n")


if __name__ == "__main__":
    main()
