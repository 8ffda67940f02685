"""A load dealt out to Locust workers, on this host or on others. Each is started there by `serveoff load-worker`, and needs nothing else.

Our side of it: one Locust master for each cell, as a child; and the loop that a worker's host runs.
"""

from __future__ import annotations

import contextlib
import ipaddress
import platform
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import psutil

import serveoff
from serveoff import process, storage
from serveoff.console import Console
from serveoff.errors import NotReadyError, ServeoffError, UsageError
from serveoff.launch import Target
from serveoff.results import CellJob, LoadPlan

from . import child, handover
from .member import Member, time_limit_s

WORKERS_WAIT_S = 60.0
_PAUSE_S = 1.0


def run(job: CellJob, directory: Path, owner: Path) -> list[Member]:
    """Load with the plan's workers; return when all have sent what they saw, or are lost. Raises NotReadyError when too few came."""
    storage.write(directory / handover.JOB, job)
    ended = process.run_child(
        child.node("master", str(WORKERS_WAIT_S)),
        env=child.environment(owner, directory / handover.JOB),
        log=directory / "locust.log",
        timeout_s=WORKERS_WAIT_S + time_limit_s(job),
        cwd=directory,
    )
    if not (directory / handover.WORKERS).exists():
        last = ended.tail.splitlines()[-1:] or ["it said nothing"]
        why = f"the load's master on {job.plan.master} ended with exit code {ended.exit_code}: {last[0]}"
        raise ServeoffError(why, hint=f"its log is {directory / 'locust.log'}")
    workers = storage.read(directory / handover.WORKERS, handover.Workers)
    if workers.refused:
        raise NotReadyError(workers.refused, hint="install the same versions there")
    if workers.missing or workers.came < job.plan.workers:
        command = f"serveoff load-worker --master {job.plan.master}"
        if workers.missing:
            why = f"no load worker came from {', '.join(workers.missing)} within {WORKERS_WAIT_S:g} s"
            raise NotReadyError(why, hint=f"run this there: {command}")
        why = f"{workers.came} of {job.plan.workers} load workers came within {WORKERS_WAIT_S:g} s"
        raise NotReadyError(why, hint=f"run this where each of the others is to load from: {command}")
    here = hello().boot
    return [
        Member(directory / str(number), worker.lost, worker.boot == here, workers.spread_us, worker.host)
        for number, worker in enumerate(workers.members, start=1)
    ]


def named(hosts: Sequence[str], hellos: Mapping[str, handover.Hello]) -> list[str | None]:
    """For each host that was named, the id of a worker on it; None where there is none, or too few for a host named several times."""
    left, found = dict(hellos), list[str | None]()
    for host in hosts:
        one = next((one for one in sorted(left) if _is(host, left[one])), None)
        found.append(one)
        left.pop(one or "", None)
    return found


def _is(host: str, hello: handover.Hello) -> bool:
    """By its name, with or without its domain, or by an address of it."""
    name, told = host.lower(), hello.host.lower()
    if host in hello.addresses or name == told:
        return True
    return "." not in (name if "." in told else told) and name.partition(".")[0] == told.partition(".")[0]


def check(plan: LoadPlan, targets: Iterable[Target]) -> None:
    """Raises UsageError where workers on other hosts were asked for, and a target listens to this one only."""
    if not plan.workers or _loopback(address(plan.master)[0]):
        return
    for target in targets:
        deaf = next((e for e in target.endpoints if _loopback(e.host)), None)
        if deaf is not None:
            raise UsageError(
                f"{target.id} listens on {deaf.host}, where load workers on other hosts cannot reach it",
                hint="workers on this host: leave --master-bind out; others need a target that listens on an address of this host",
            )


def address(text: str) -> tuple[str, int]:
    """`HOST:PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(f"{text!r} is no address", hint="write it as HOST:PORT, e.g. 127.0.0.1:5557")
    return host.strip("[]"), int(port)


def hello() -> handover.Hello:
    """Who we are. The boot's id tells hosts apart; containers of one host share it, as they share its processors."""
    boot = platform.node()
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = psutil.net_if_addrs().values()
    addresses = {a.address for each in known for a in each if a.family in (socket.AF_INET, socket.AF_INET6)}
    return handover.Hello(versions=versions(), host=platform.node(), boot=boot, addresses=tuple(sorted(addresses)))


def versions() -> str:
    return f"serveoff {serveoff.__version__} with Locust {version('locust')}"


def work(master: str, owner: Path, console: Console) -> NoReturn:
    """Be a worker of this master, one cell after the other, until Ctrl-C. Raises UsageError for an address that does not exist."""
    host, port = address(master)
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        raise UsageError(f"{host} is not known here: {error.strerror}", hint="name the host that runs `serveoff loadtest`") from None
    console.say(f"works for the load tests of {master}; Ctrl-C ends it")
    with tempfile.TemporaryDirectory(prefix="serveoff-worker-") as folder:
        place = Path(folder)
        while True:
            ended = process.run_child(
                child.node("worker", host, str(port)),
                env=child.environment(owner, place / handover.JOB),
                log=place / "locust.log",
                timeout_s=threading.TIMEOUT_MAX,
                cwd=place,
            )
            if ended.exit_code == -15:
                raise ServeoffError("the load worker was told to end")
            if not ended.ok:
                last = ended.tail.splitlines()[-1:] or ["it said nothing"]
                console.say(f"a worker ended with exit code {ended.exit_code}, the next one starts: {last[0]}")
                time.sleep(_PAUSE_S)


def _loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
