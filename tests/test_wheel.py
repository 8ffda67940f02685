"""The wheel puts one name into an environment, and everything is found under it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from serveoff.registry import CODE_ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(CODE_ROOT),
    )
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0].split("-")[0] for name in archive.namelist()} == {"serveoff"}, "one name only"
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(site), "SERVEOFF_WORKSPACE": str(site.parent / "workspace")}
    done = subprocess.run([sys.executable, "-P", *arguments], env=env, cwd=site.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_plugin_is_found_inside_the_package(site: Path) -> None:
    code = """
import serveoff, serveoff.registry as r
print(serveoff.__file__)
for kind in (r.MODELS, r.FORMATS, r.RUNTIMES, r.SERVERS, r.LAUNCHERS, r.PROTOCOLS, r.PROFILES):
    print(kind.kind, len(kind.all()), r.load_module(kind._package).__name__)
"""
    place, *kinds = run(site, "-c", code).splitlines()
    assert Path(place).is_relative_to(site)
    assert len(kinds) == 7
    for line in kinds:
        _, count, package = line.split()
        assert int(count) > 0
        assert package.startswith("serveoff.")


def test_the_installed_command_trains_exports_and_serves(site: Path) -> None:
    run(site, "-m", "serveoff", "train", "--epochs", "1")
    run(site, "-m", "serveoff", "export", "--format", "onnx")
    try:
        assert "up, answers verified" in run(site, "-m", "serveoff", "serve", "--server", "embedded")
    finally:
        run(site, "-m", "serveoff", "stop")
