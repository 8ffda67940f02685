"""A plain FastAPI server around a SavedModel's signature, as FastAPI's page on lifespan events shows it for a model.

Run by uvicorn in an environment of its own. `async def`, as there: on one core a thread pool only adds a hop (measured: slower).
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from fastapi import FastAPI  # type: ignore[import-not-found]
from pydantic import BaseModel

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
models: dict[str, Any] = {}


class Request(BaseModel):
    instances: list[Any]


class Reply(BaseModel):
    predictions: list[list[float]]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    models["loaded"] = tf.saved_model.load(os.environ["MODEL_DIR"])  # the signature holds its model only weakly
    models["digits"] = models["loaded"].signatures["serving_default"]
    yield
    models.clear()


app = FastAPI(lifespan=lifespan)


@app.get("/health")  # type: ignore[untyped-decorator]
async def health() -> str:
    return "ok"


@app.post("/v1/models/digits:predict")  # type: ignore[untyped-decorator]
async def predict(request: Request) -> Reply:
    outputs = models["digits"](tf.constant(np.asarray(request.instances, np.float32)))
    return Reply(predictions=outputs["logits"].numpy().tolist())
