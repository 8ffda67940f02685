from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serveoff.contract import SIGNATURE
from serveoff.errors import UsageError
from serveoff.plugins import Format, ModelSpec
from serveoff.registry import CODE_ROOT, FORMATS, LAUNCHERS, MODELS, PROFILES, PROTOCOLS, RUNTIMES, SERVERS, WITNESSES, Registry

KINDS: list[Registry[Any]] = [MODELS, FORMATS, RUNTIMES, SERVERS, LAUNCHERS, PROTOCOLS, PROFILES, WITNESSES]


@pytest.mark.parametrize("registry", KINDS, ids=lambda r: r.kind)
def test_every_plugin_loads_by_its_file_name(registry: Registry[Any]) -> None:
    assert registry.names
    assert list(registry.all()) == registry.names


@pytest.mark.parametrize("registry", KINDS, ids=lambda r: r.kind)
def test_an_unknown_name_gets_a_suggestion(registry: Registry[Any]) -> None:
    nearly = registry.names[0] + "x"
    with pytest.raises(UsageError, match=f"unknown {registry.kind} '{nearly}'") as error:
        registry.load(nearly)
    assert registry.names[0] in error.value.hint


@pytest.mark.parametrize("name", MODELS.names)
def test_model_contract(name: str) -> None:
    spec = MODELS.load(name)
    assert isinstance(spec, ModelSpec)
    spec = spec.sizes.at(spec.sizes.smallest) if spec.sizes else spec  # of one code with the default, and quick
    assert spec.builds
    assert (spec.dataset is None) != (spec.samples is None), "a data set, or samples"
    trained = [spec.dataset().train_inputs] if spec.dataset else []
    samples, labels = spec.evaluation()
    assert len(labels) >= 64
    assert len(np.unique(np.concatenate([v.reshape(len(labels), -1) for v in samples.values()], 1), axis=0)) == len(labels), "no two alike"
    for tensors in (*trained, samples, *spec.edge_inputs().values()):
        for t in spec.inputs:
            assert str(tensors[t.name].dtype) == t.dtype
            assert tensors[t.name].shape[1:] == t.shape[1:]
            assert t.shape[0] is None, "the first dimension is the batch"


@pytest.mark.parametrize("name", FORMATS.names)
def test_format_contract(name: str) -> None:
    kind = FORMATS.load(name)
    assert isinstance(kind, Format)
    for source in kind.sources.values():
        assert "float32" in source.precisions
        assert all(tolerance.source for tolerance in source.precisions.values()), "every tolerance says where it comes from"
    assert sum(r.serve_file == kind.serve_file for r in RUNTIMES.all().values()) == 1, "one runtime can prove it and serve it"
    assert any(name in server.formats for server in SERVERS.all().values())
    assert SIGNATURE == "serving_default"


def test_a_strangers_models_package_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('the stranger was imported')")
    code = "from serveoff.registry import MODELS; print(MODELS.load('digits_cnn').summary)"
    child = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert "CNN" in child.stdout


def test_a_package_that_was_imported_before_us_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    (tmp_path / "models" / "zoo.py").write_text("")
    code = "import sys; sys.path.insert(0, ''); import models; from serveoff.registry import load_module; load_module('models')"
    child = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "which is not serveoff's" in child.stderr
    assert CODE_ROOT.is_dir()
