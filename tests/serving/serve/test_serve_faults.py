"""What goes wrong with one target is told of that target, and leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from serveoff.console import Console
from serveoff.errors import InputError
from serveoff.launch import Target
from serveoff.plugins import Artifact
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import ready, serve, targets

MakeArtifact = Callable[..., Artifact]
ALL = Selection()
CONSOLE = Console(quiet=True)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_a_damaged_reference_fails_that_target_only(
    tiny: Any, workspace: Workspace, make_artifact: MakeArtifact, damage: bytes | None
) -> None:
    make_artifact("double")
    path = make_artifact("odd").reference_file
    path.unlink() if damage is None else path.write_bytes(damage)
    healthy, failed = serve.serve(ALL, workspace, CONSOLE)[0]
    assert isinstance(failed.error, InputError)
    assert failed.error.message.startswith(f"{path}, the source model's answers, is missing or damaged: ")
    assert "serveoff export" in failed.error.hint
    assert tiny.launched == ["double"]
    assert [(s.target, s.running) for s in targets.status(workspace)] == [(healthy.target, True)]


def test_a_fault_of_the_system_fails_that_target_only(
    tiny: Any, workspace: Workspace, make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("double", "odd"):
        make_artifact(model)
    wait = ready.wait

    def full(target: Target, *rest: Any) -> None:
        if "odd" in target.id:
            raise OSError(28, "No space left on device")
        wait(target, *rest)

    monkeypatch.setattr(ready, "wait", full)
    healthy, failed = serve.serve(ALL, workspace, CONSOLE)[0]
    assert "odd.pytorch.tiny.float32@tiny.process could not be started: [Errno 28] No space left" in str(failed.error)
    assert [(s.target, s.running) for s in targets.status(workspace)] == [(healthy.target, True)]


@pytest.mark.parametrize("behaviour", ["good", "exposed"])
def test_a_server_that_listens_on_all_addresses_is_told_of(
    tiny: Any, workspace: Workspace, make_artifact: MakeArtifact, behaviour: str
) -> None:
    make_artifact("double")
    tiny.behaviours = {"double": behaviour}
    [outcome] = serve.serve(ALL, workspace, CONSOLE)[0]
    assert outcome.target is not None
    assert outcome.exposed == (behaviour == "exposed")
    assert serve._words(outcome).endswith("it listens on all addresses of this host") == (behaviour == "exposed")
