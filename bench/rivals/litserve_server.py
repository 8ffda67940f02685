"""LitServe around a SavedModel's signature: its four steps, as its quick start shows them.

`litserve_server.py PORT`, in an environment of its own. `fast_queue` is what its documentation recommends for more than 100 requests a
second; MAX_BATCH_SIZE in the environment turns its batching on.
"""

import os
import sys
from typing import Any

import litserve as ls  # type: ignore[import-not-found]
import numpy as np

MAX_BATCH_SIZE = int(os.environ.get("MAX_BATCH_SIZE", "1"))
BATCH_TIMEOUT_S = 0.002 if MAX_BATCH_SIZE > 1 else 0.0


class Digits(ls.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's interface
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.constant = tf.constant
        self.loaded = tf.saved_model.load(os.environ["MODEL_DIR"])  # the signature holds its model only weakly
        self.signature = self.loaded.signatures["serving_default"]

    # No annotations on the next and the last step, as in the quick start: LitServe makes FastAPI's request and reply models of them.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return np.asarray(request["instances"], np.float32)

    def batch(self, inputs: list[Any]) -> Any:
        return np.concatenate(inputs)

    def predict(self, x: Any) -> Any:
        return self.signature(self.constant(x))["logits"].numpy()

    def unbatch(self, output: Any) -> list[Any]:
        return [output[row : row + 1] for row in range(len(output))]

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    api = Digits(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning")
