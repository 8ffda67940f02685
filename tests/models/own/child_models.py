"""Takes in small models of one framework, in one process: `python child_models.py CASES FOLDER`; prints what came of each as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from models.own import worker
from serveoff import own_models
from serveoff.contract import Origin
from serveoff.errors import ServeoffError
from serveoff.own_models import Description
from serveoff.workspace import Workspace


def taken(workspace: Workspace, path: Path, origin: Origin, said: Description) -> dict[str, Any]:
    """What was found, or the sentence that says why not."""
    try:
        name = own_models.declare(f"{path.parent.name}={path}", said, workspace)
        worker.take_in(workspace.checkpoint(name), origin, None)
    except ServeoffError as error:
        return {"message": error.message, "hint": error.hint}
    found = own_models.taken(workspace.checkpoint(name), origin)
    return {
        "inputs": [f"{t.name}:{t.dtype}:{list(t.shape)}" for t in found.inputs],
        "outputs": [f"{t.name}:{t.dtype}:{list(t.shape)}" for t in found.outputs],
        "fixed_batch": found.fixed_batch,
        "signature": found.signature,
        "notes": found.notes,
        "beside": sorted(found.beside),
    }


def main() -> None:
    cases, folder = sys.argv[1], Path(sys.argv[2])
    found = {}
    for name, (path, origin, said) in __import__(cases).make(folder).items():
        found[name] = taken(Workspace(folder / "w"), path, origin, said)
    sys.stdout.write(f"RESULT {json.dumps(found)}\n")


if __name__ == "__main__":
    main()
