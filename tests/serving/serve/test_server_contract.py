"""What every server plug-in promises: a launch spec that a launcher can fill and that `serving.ready` can wait for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from serveoff import artifacts
from serveoff.errors import MissingToolError
from serveoff.launch import LauncherKind
from serveoff.registry import FORMATS, PROTOCOLS, SERVERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving.launchers import _slots

KINDS: tuple[LauncherKind, ...] = get_args(LauncherKind)


@pytest.mark.parametrize("name", SERVERS.names)
def test_formats_are_known(name: str) -> None:
    assert SERVERS.load(name).formats
    assert set(SERVERS.load(name).formats) <= set(FORMATS.names)


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SERVERS.names)
def test_each_artifact_has_a_launch_spec_or_a_reason(name: str, kind: LauncherKind, exported: Workspace, tmp_path: Path) -> None:
    server = SERVERS.load(name)
    reason = server.unavailable(kind)
    if reason is not None:
        assert reason.strip() == reason != ""
        assert "\n" not in reason
        pytest.skip(f"no launch spec to look at: {reason}")
    specs, lacking = 0, []
    for artifact in artifacts.find(exported, Selection(formats=server.formats)):
        work = tmp_path / artifact.manifest.id
        work.mkdir()
        try:
            spec = server.launch_spec(artifact, kind, work, 2)
        except MissingToolError as error:  # a skip
            lacking.append(error.message)
            continue
        specs += 1
        assert (spec.server, spec.artifact_id, spec.threads) == (name, artifact.manifest.id, 2)
        assert [bool(spec.module or spec.binary), bool(spec.image)] == ([True, False] if kind == "host" else [False, True])
        assert set(spec.protocols) <= set(PROTOCOLS.names)
        assert set(spec.protocols.values()) <= set(spec.ports)
        assert spec.readiness.port in spec.protocols.values()
        slots = _slots.Slots(
            ports=spec.ports,
            mounts={key: mount.host_path for key, mount in spec.mounts.items()},
            files={key: f"/files/{key}" for key in spec.files},
            work=str(work),
            scratch=str(work),
            host="127.0.0.1",
        )
        for text in (*spec.argv, *spec.env.values(), *spec.files.values()):
            assert not re.search(r"\{(port|mount|file)\.|\{(work|scratch|host)\}", slots.fill(text))
    assert specs or lacking, "no artifact of its formats was exported"
    if not specs:
        pytest.skip(f"no launch spec to look at: {lacking[0]}")
