"""Images that are built from docker/ on this host, and published nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess

_ANSWER_S = 5.0


def name(server: str) -> str:
    """The image of one of our servers: `SERVEOFF_<SERVER>_IMAGE`, or what the line at the top of its Dockerfile builds."""
    return os.environ.get(_variable(server)) or f"serveoff/{server}:latest"


def unavailable(server: str) -> str | None:
    """Why the image cannot be run here; None when it can."""
    image = name(server)
    if os.environ.get(_variable(server)) or _may_be_here(image):
        return None
    build = f"docker build --file docker/{server}.Dockerfile --tag {image.removesuffix(':latest')} ."
    return f"the image {image} is not on this host: build it (`{build}`), or name another one in {_variable(server)}"


def _variable(server: str) -> str:
    return f"SERVEOFF_{server.upper()}_IMAGE"


def _may_be_here(image: str) -> bool:
    """Whether the engine has it. True, too, when no engine answers: that is the launcher's to say."""
    for tool in filter(shutil.which, ("docker", "podman")):
        try:
            done = subprocess.run([tool, "images", "--quiet", image], capture_output=True, timeout=_ANSWER_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return bool(done.stdout.strip())
    return True
