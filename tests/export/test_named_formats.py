"""Formats that are only exported when they are named: too slow, or too special, for everybody's first run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from serveoff import artifacts, process
from serveoff.errors import MissingToolError
from serveoff.registry import FORMATS, SERVERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

Command = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = ("aotinductor", "pt2")


@pytest.fixture(scope="module")
def named(exported: Workspace, serveoff: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("named") / "w"
    shutil.copytree(exported.root, root)
    for asked in ([word for name in NAMES for word in ("--format", name)], ["--format", "pt2", "--precision", "bfloat16"]):
        done = serveoff("export", *asked, "--no-facts", workspace=root)
        assert done.returncode == 0, done.stdout + done.stderr
    yield Workspace(root)
    process.end_all(process.owned(root), grace_s=0)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
def test_it_is_right_at_every_batch_size(named: Workspace, name: str) -> None:
    (found,) = artifacts.find(named, Selection(formats=(name,), precisions=("float32",)))
    artifacts.verify(found)
    assert found.manifest.parity.passed
    assert {f"samples, batch {size}" for size in (1, 3, 8, 360)} <= {check.case for check in found.manifest.parity.checks}
    assert found.manifest.size_bytes > 100_000


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(400)
def test_it_is_served_rightly_over_every_protocol(named: Workspace, serveoff: Command) -> None:
    """`serve` succeeds only after the live check, alone and in a batch, over each protocol."""
    formats = [word for name in NAMES for word in ("--format", name)]
    done = serveoff("serve", *formats, "--launcher", "process", "--json", workspace=named.root)
    assert done.returncode == 0, done.stdout + done.stderr
    ids = [target["id"].split("@") for target in json.loads(done.stdout)["targets"]]
    targets = {f"{server} {artifact.removeprefix('digits_cnn.pytorch.')}" for artifact, server in ids}
    java = SERVERS.load("torchserve").unavailable("host") is None
    servers = ("embedded.process", "torchserve.process") if java else ("embedded.process",)
    made = ("aotinductor.float32", "pt2.float32", "pt2.bfloat16")
    assert targets == {f"{server} {name}" for server in servers for name in made}
    assert serveoff("stop", workspace=named.root).returncode == 0


def test_without_a_compiler_the_compiled_one_is_a_skip(serveoff: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = serveoff("export", "--format", "aotinductor", "--json", workspace=tmp_path)
    assert done.returncode == 0, done.stderr
    (skip,) = json.loads(done.stdout)["skips"]
    assert skip["reason"] == "not on PATH: g++"


def test_the_stock_image_is_too_old_for_them(exported: Workspace, tmp_path: Path) -> None:
    (found,) = artifacts.find(exported, Selection(formats=("torchscript",)))
    for name in NAMES:
        assert not any(source.default for source in FORMATS.load(name).sources.values())
        like = type(found)(found.directory, msgspec.structs.replace(found.manifest, format=name))
        with pytest.raises(MissingToolError, match=r"PyTorch 2\.4 in the image"):
            SERVERS.load("torchserve").launch_spec(like, "image", tmp_path, 1)
