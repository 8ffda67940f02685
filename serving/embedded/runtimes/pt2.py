"""PT2 archives through PyTorch: an exported program (`torch.export.save`), or a package that AOTInductor compiled. The content tells.

An exported program runs as its graph, operator by operator, without the guards that PyTorch puts before it (they cost several times what a
small model does): shapes and dtypes are checked against the signature instead. Compiled code checks nothing by itself and would read
beyond an input that is too short, so a package without a stored signature is refused.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

from serveoff.plugins import LoadedModel, Runtime, Signature

from ._tensors import spec
from ._torch import SIGNATURE_FILE, TorchModel, read_signature

_COMPILED = "/data/aotinductor/"
_loading = threading.Lock()
"""PyTorch unpacks a package into $TMPDIR, all of the model, and deletes it with the loader: never, where the process is ended. It is not
needed once it is loaded. The variable is the process's, so packages are loaded one after the other."""
_MODEL = "model"
"""The name that PyTorch's own functions give to the one model of a package."""


class Pt2:
    serve_file: str = "model.pt2"
    requires: tuple[str, ...] = ("torch",)

    def load(self, directory: Path, threads: int) -> LoadedModel:
        path = directory / self.serve_file
        try:
            with zipfile.ZipFile(path) as archive:
                compiled = any(_COMPILED in name for name in archive.namelist())
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is no PT2 archive: {error}") from error
        return _compiled(path, threads) if compiled else _exported(path, threads)


def _exported(path: Path, threads: int) -> TorchModel:
    import torch

    stored: dict[str, Any] = {SIGNATURE_FILE: ""}
    program = torch.export.load(path, extra_files=stored)
    signature = read_signature(stored[SIGNATURE_FILE]) if stored[SIGNATURE_FILE] else _inferred(program)
    module: Any = program.module(check_guards=False)
    return TorchModel(module.forward, signature, threads, same_rows=True)


def _inferred(program: Any) -> Signature:
    """An exported program knows its inputs, and how many outputs it has."""
    import torch

    def described(name: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{name!r} is no tensor: only tensors can be served")
        return spec(name, str(value.dtype).removeprefix("torch."), [d if isinstance(d, int) else None for d in value.shape])

    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes}
    known = program.graph_signature
    inputs = tuple(described(name, nodes.get(name)) for name in known.user_inputs)
    outputs = tuple(described(f"output_{i}", nodes.get(name)) for i, name in enumerate(known.user_outputs))
    return Signature(inputs=inputs, outputs=outputs)


def _compiled(path: Path, threads: int) -> TorchModel:
    """The loader itself, not PyTorch's Python around it: that imports the whole compiler, and parses two specs in each call."""
    import torch

    loaders: Any = torch._C._aoti.AOTIModelPackageLoader
    metadata = loaders.load_metadata_from_package(str(path), _MODEL)
    _require_this_machine(metadata)
    if SIGNATURE_FILE not in metadata:
        raise ValueError(
            f"{path} does not say what its tensors are, and compiled code does not check them: "
            f"compile it with its signature as {SIGNATURE_FILE!r} in aot_inductor.metadata, as `serveoff export` does"
        )
    with _loading, tempfile.TemporaryDirectory() as unpacked:
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = unpacked
        try:
            loader = loaders(str(path), _MODEL, False, os.cpu_count() or 1, -1)  # as many calls at once as there are cores
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
    known = threading.local()

    def forward(*tensors: Any) -> Any:
        if not hasattr(known, "threads"):  # OpenMP has one number a calling thread, and compiled code does not ask PyTorch for it
            torch.set_num_threads(threads)
            known.threads = threads
        return loader.boxed_run([tensor.contiguous() for tensor in tensors])  # it takes the strides for granted

    return TorchModel(forward, read_signature(metadata[SIGNATURE_FILE]), threads, same_rows=True)


def _require_this_machine(metadata: dict[str, str]) -> None:
    """Raises ValueError for code that was compiled for other processors: it would end the process."""
    import torch

    made_for = {key: metadata.get(f"AOTI_{key}", "") for key in ("DEVICE_KEY", "PLATFORM", "MACHINE", "CPU_ISA")}
    here = {"DEVICE_KEY": "cpu", "PLATFORM": sys.platform, "MACHINE": platform.machine()}
    has = {"AVX2": torch.cpu._is_avx2_supported, "AVX512": torch.cpu._is_avx512_supported, "AVX512_VNNI": torch.cpu._is_vnni_supported}
    lacking = [word for word in made_for["CPU_ISA"].split() if word in has and not has[word]()]
    other = [f"{made_for[key]} instead of {value}" for key, value in here.items() if made_for[key] not in ("", value)]
    if lacking or other:
        raise ValueError(f"this package was compiled for another machine: {', '.join(other + [f'{word} is missing' for word in lacking])}")


RUNTIME: Runtime = Pt2()
