"""MLServer around a SavedModel's signature: a custom runtime, as its page on them shows.

`mlserver_model.py HTTP_PORT GRPC_PORT FOLDER` writes the two settings files into FOLDER and starts `mlserver start`, in an environment of
its own.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Digits(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._constant = tf.constant
        self._loaded = tf.saved_model.load(os.environ["MODEL_DIR"])  # the signature holds its model only weakly
        self._signature = self._loaded.signatures["serving_default"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        image = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        logits: Any = self._signature(self._constant(image))["logits"].numpy()
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)])


def main() -> None:
    http_port, grpc_port, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http_port,
        "grpc_port": grpc_port,
        "metrics_endpoint": None,
        "parallel_workers": int(os.environ.get("PARALLEL_WORKERS", "1")),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "digits", "implementation": "mlserver_model.Digits"}))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    program = Path(sys.executable).with_name("mlserver")
    os.chdir(folder)
    os.execve(program, [str(program), "start", str(folder)], environment)


if __name__ == "__main__":
    main()
