"""The servers that ours is measured against: what each needs, and how it is started and spoken to.

The programs beside this file run in virtual environments of their own; nothing here imports them. Each is written as its server's own
documentation shows, with the settings that the documentation recommends for many small requests on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent
TENSORFLOW = "tensorflow==2.21.0"


@dataclass(frozen=True, slots=True)
class Rival:
    """`command` gets the environment's `bin` directory, a port for HTTP and one for anything else, and a writable directory."""

    packages: tuple[str, ...]
    predict: str
    ready: str
    """A path that answers 200 once the model is loaded."""
    body: str
    """`rows` is TF Serving's JSON, the same bytes that our server gets; `v2` is the Open Inference Protocol's JSON of the same tensor."""
    settings: str
    """In words, for the table."""
    command: Callable[[Path, int, int, Path], list[str]]
    environment: dict[str, str] = field(default_factory=dict)


def _fastapi(programs: Path, port: int, _other: int, _work: Path) -> list[str]:
    return [
        *(str(programs / "uvicorn"), "fastapi_server:app", "--app-dir", str(PROGRAMS), "--host", "127.0.0.1", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]


def _litserve(programs: Path, port: int, _other: int, _work: Path) -> list[str]:
    return [str(programs / "python"), str(PROGRAMS / "litserve_server.py"), str(port)]


def _mlserver(programs: Path, port: int, other: int, work: Path) -> list[str]:
    return [str(programs / "python"), str(PROGRAMS / "mlserver_model.py"), str(port), str(other), str(work)]


RIVALS: dict[str, Rival] = {
    "FastAPI": Rival(
        packages=("fastapi==0.165.0", "uvicorn[standard]==0.54.0", TENSORFLOW),
        predict="/v1/models/digits:predict",
        ready="/health",
        body="rows",
        settings="uvicorn with uvloop and httptools, async endpoint, eager signature",
        command=_fastapi,
    ),
    "LitServe": Rival(
        packages=("litserve==0.2.19", TENSORFLOW),
        predict="/predict",
        ready="/health",
        body="rows",
        settings="fast_queue, one worker, eager signature",
        command=_litserve,
    ),
    "LitServe batching": Rival(
        packages=("litserve==0.2.19", TENSORFLOW),
        predict="/predict",
        ready="/health",
        body="rows",
        settings="the same, max_batch_size=8, batch_timeout=0.002",
        command=_litserve,
        environment={"MAX_BATCH_SIZE": "8"},
    ),
    "MLServer": Rival(
        packages=("mlserver==1.7.1", "uvloop==0.21.0", TENSORFLOW),
        predict="/v2/models/digits/infer",
        ready="/v2/models/digits/ready",
        body="v2",
        settings="debug off, no parallel workers (one core), eager signature",
        command=_mlserver,
        environment={"PARALLEL_WORKERS": "0"},
    ),
}
