"""Makes `*_pb2.py` and `*_pb2.pyi` from the `.proto` files beside this one: `python -m serveoff.wire.generate`.

Needs grpcio-tools. The results are kept in git, so that an installation needs no compiler.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serveoff.errors import MissingToolError, ServeoffError

WIRE = Path(__file__).resolve().parent


def generate(root: Path) -> list[Path]:
    """Write the modules under `root` (the checkout, for real) and return them."""
    protos = sorted(WIRE.glob("*.proto"))
    # The path from the checkout becomes the file's name in the descriptor pool: it must not meet anybody else's.
    names = [str(proto.relative_to(WIRE.parent.parent)) for proto in protos]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{WIRE.parent.parent}", f"--python_out={root}", f"--pyi_out={root}"]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        raise MissingToolError("grpcio-tools is not installed", hint="make setup")
    if done.returncode:
        raise ServeoffError(f"protoc failed: {done.stderr.strip()}", hint="repair the .proto file")
    return [root / name.replace(".proto", suffix) for name in names for suffix in ("_pb2.py", "_pb2.pyi")]


if __name__ == "__main__":
    generate(WIRE.parent.parent)
