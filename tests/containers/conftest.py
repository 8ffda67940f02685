"""A container engine: the one that answers here, else one of our own (Linux, root, Debian's docker.io); and our images on a local base.

No image registry is needed: the base is made with debootstrap. It gets this machine's certificates, the stage that builds also its pip
configuration and wheels, so that pip finds inside what it finds here. Where there can be no engine these tests fail, unless
SERVEOFF_NO_ENGINE=1 says that this is known.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serveoff.registry import CODE_ROOT

BASE, BUILD = "serveoff-test/base", "serveoff-test/build"
_START_S = 60


def docker(*arguments: str, timeout_s: float = 60) -> str:
    """The output of a docker command, which has to succeed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-2000:]}{done.stdout[-4000:]}"
    return done.stdout.strip()


def _answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A docker engine that answers the docker command."""
    if os.environ.get("SERVEOFF_NO_ENGINE") == "1":
        pytest.skip("SERVEOFF_NO_ENGINE=1: no container was run")
    if _answers():
        yield
        return
    if not (shutil.which("dockerd") and os.geteuid() == 0):
        pytest.fail("no container engine answers, and none can be started here (root, and Debian's docker.io): set SERVEOFF_NO_ENGINE=1")
    folder = Path(tempfile.mkdtemp(prefix="serveoff-engine-"))
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "run")], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + _START_S
        while not _answers():
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.fail(
                    f"dockerd did not start; set SERVEOFF_NO_ENGINE=1 if that is so here\n{(folder / 'dockerd.log').read_text()[-2000:]}"
                )
            time.sleep(0.5)
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def base(engine: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A minimal Debian with this machine's certificates, and beside it BUILD, with its wheels and pip's configuration."""
    if docker("images", "--quiet", BASE) and docker("images", "--quiet", BUILD):
        return BASE  # an earlier run left it on this engine: with the same base, what is built on it is still good
    if shutil.which("debootstrap") is None:
        pytest.fail("debootstrap is not installed: apt-get install debootstrap")
    folder = tmp_path_factory.mktemp("base")
    root, context = folder / "root", folder / "build"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    for left in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):  # as debian:bookworm-slim
        shutil.rmtree(root / left)
        (root / left).mkdir()
    certificates = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    shutil.copyfile(certificates, root / "etc/ssl/certs/ca-certificates.crt")
    with subprocess.Popen(["tar", "--directory", str(root), "--create", "."], stdout=subprocess.PIPE) as pack:
        subprocess.run(["docker", "import", "-", BASE], stdin=pack.stdout, check=True, capture_output=True)
    assert pack.returncode == 0
    shutil.rmtree(root)
    (context / "wheels").mkdir(parents=True)
    for place in filter(None, os.environ.get("PIP_FIND_LINKS", "").split()):
        if Path(place).is_dir():
            shutil.copytree(place, context / "wheels", dirs_exist_ok=True)
    pip = "PIP_FIND_LINKS=/wheels PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DEFAULT_TIMEOUT=180"
    (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY wheels /wheels\nENV {pip}\n")
    docker("build", "--quiet", "--tag", BUILD, str(context), timeout_s=300)
    return BASE


def build(name: str) -> str:
    """Build one of our images as its Dockerfile's first lines say, on the local base."""
    image = f"serveoff/{name}"
    arguments = ("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", f"BUILD_IMAGE={BUILD}")
    docker("build", "--file", f"docker/{name}.Dockerfile", *arguments, "--tag", image, str(CODE_ROOT), timeout_s=1500)
    return image


@pytest.fixture(scope="session")
def images(base: str) -> dict[str, str]:
    """All our images, by the name of their Dockerfile. Two are built at a time: installing waits for the network and the disk."""
    names = sorted(path.name.removesuffix(".Dockerfile") for path in (CODE_ROOT / "docker").glob("*.Dockerfile"))
    assert names
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(build, names), strict=True))
