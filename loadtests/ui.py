"""Locust's web UI on the running targets: a person picks target, protocol and load on its page."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path

from serveoff import livecheck, process, storage
from serveoff.console import Console
from serveoff.errors import GateError, NotReadyError, ServeoffError, UsageError
from serveoff.launch import LOOPBACK
from serveoff.results import CellJob, ProfileChoice
from serveoff.selection import Selection
from serveoff.workspace import Workspace

from . import candidates, child, handover, payloads, plan
from .candidates import Candidate
from .profiles import complete


def ui(selection: Selection, workspace: Workspace, console: Console, port: int, listen: str = LOOPBACK) -> None:
    """Show the page until the user ends it (Ctrl-C). `port` 0 takes a free one of the address `listen`.

    Raises NotReadyError when nothing is being served, UsageError when the port is taken, GateError when no target answers correctly.
    """
    port = _port(listen, port)
    groups = candidates.find(workspace, selection)
    directory = workspace.root / "desk"
    shutil.rmtree(directory, ignore_errors=True)
    jobs = [_job(c, directory, number) for number, c in enumerate(c for group in groups for c in group if _answers(c, console))]
    if not jobs:
        raise GateError("no running target gives correct answers", hint="`serveoff status` shows their logs")
    storage.write(directory / "desk.json", handover.Desk(jobs=tuple(jobs)))

    def tell(line: str) -> None:
        if "Starting web interface" in line:
            console.say(f"http://{listen}:{port} is Locust's page on {len(jobs)} (target, protocol) pairs; Ctrl-C ends it")

    with suppress(KeyboardInterrupt):  # that is how one leaves
        ended = process.run_child(
            child.command("desk_locustfile.py", "--web-host", listen, "--web-port", str(port), "--users", "8", "--spawn-rate", "8"),
            env=child.environment(workspace.root, directory / "desk.json"),
            log=directory / "locust.log",
            timeout_s=threading.TIMEOUT_MAX,
            cwd=directory,
            on_line=tell,
        )
        if not ended.ok:
            log = directory / "locust.log"
            raise ServeoffError(f"Locust ended with exit code {ended.exit_code}: {ended.tail}", hint=f"its log is {log}")


def _answers(candidate: Candidate, console: Console) -> bool:
    """Whether its answers are right: nobody should look at the speed of wrong ones."""
    try:
        verdict = livecheck.check(candidate.target, candidate.artifact, candidate.endpoint.protocol)
    except NotReadyError as error:
        console.say(f"left out: {error.message}")
        return False
    if not verdict.passed:
        console.say(f"left out: {candidate.name} gives wrong answers: {verdict.reason}")
    return verdict.passed


def _job(candidate: Candidate, directory: Path, number: int) -> CellJob:
    file = Path(str(number)) / payloads.FILE
    payloads.write(directory / file, candidate.artifact, candidate.endpoint, candidate.wire)
    return CellJob(
        target=candidate.target,
        protocol=candidate.endpoint.protocol,
        profile=complete(ProfileChoice(name=plan.DEFAULT[0])),
        plan=plan.make(),
        payloads=str(file),
    )


def _port(listen: str, port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} cannot be used: {error}", hint="name another one; --port 0 takes a free one") from None
        found: int = probe.getsockname()[1]
    return found
