"""The embedded server against LitServe, MLServer and a plain FastAPI server, all in one run: `python -m bench.embedded`.

The same SavedModel, the same tensor, one core for whichever server is awake, another for the client, rounds in which everything is measured
once in a shuffled order. README.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import memory, payloads, servers, summary
from bench.cells import Cell, Grpc, GrpcH2load, InProcess, Rest
from bench.figures import Goal, Sample
from bench.machine import Cores, cores, pinned, wait_for_quiet
from bench.rivals import RIVALS
from serveoff import process
from serveoff.console import Console
from serveoff.errors import GateError, ServeoffError
from serveoff.plugins import Artifact
from serveoff.workspace import Workspace

TRIES, PATIENCE_S = 5, 600.0
"""With `--quiet`: how often one measurement is tried, and how long the whole run may wait."""

PARTS = ("rivals", "rest", "grpc", "image", "batching", "memory")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended
    console = Console()
    try:
        with contextlib.ExitStack() as stack:
            bench = Bench(stack, console, options)
            samples = bench.measure()
            goals = summary.goals(samples, bench.rivals)
            growth = bench.memory()
        if growth is not None:
            goals.append(growth.goal())
        _show(options, bench, samples, goals, growth)
    except ServeoffError as error:
        console.say(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return error.exit_code
    except KeyboardInterrupt:
        console.say("interrupted")
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; the default is all but memory")
    parser.add_argument("--rivals", nargs="+", choices=list(RIVALS), metavar="RIVAL", help=f"of {', '.join(RIVALS)}")
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="send N mixed good and bad requests, and watch the memory")
    parser.add_argument("--quiet", type=float, metavar="CORES", help="wait for, and repeat until, others use less than this meanwhile")
    parser.add_argument("--seed", type=int, default=0, help="of the order within a round, and of the mixed requests")
    parser.add_argument("--json", action="store_true", help="the figures of every round as JSON, instead of the tables")
    options = parser.parse_args()
    options.only = options.only or [part for part in PARTS if part != "memory" or options.memory]
    options.memory = options.memory or (1_000_000 if "memory" in options.only else 0)
    return options


class Bench:
    """Everything started and ready; what `stack` holds is ended with it."""

    def __init__(self, stack: contextlib.ExitStack, console: Console, options: argparse.Namespace) -> None:
        self._stack, self._console, self._options = stack, console, options
        self.skips: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        self._patience_s = PATIENCE_S
        self.void = 0
        """Measurements that were repeated because others were busy."""
        self.reply_bytes: dict[str, int] = {}
        self.cores: Cores = cores()
        self.directory = Workspace.current().root / "bench"
        self._place = servers.Place(self.cores.server, self.directory / "running")
        self._artifact: Artifact = payloads.digits()
        self.payloads = payloads.write(self._artifact, self.directory / "payloads")
        self.rivals = (options.rivals or list(RIVALS)) if "rivals" in options.only else []
        self._cells: list[Cell] = []
        process.end_all(process.owned(self._place.directory), grace_s=0)  # what a killed run has left
        self._start()

    def measure(self) -> dict[str, list[Sample]]:
        """One sample of each cell in each round."""
        samples: dict[str, list[Sample]] = {cell.name: [] for cell in self._cells}
        order = random.Random(self._options.seed)
        with self._console.bar("measure", self._options.rounds * len(self._cells)) as bar:
            for number in range(self._options.rounds):
                for done, cell in enumerate(order.sample(self._cells, k=len(self._cells)), 1):
                    samples[cell.name].append(self._sample(cell))
                    bar.advance_to(number * len(self._cells) + done, cell.name)
        return samples

    def _sample(self, cell: Cell) -> Sample:
        """One measurement; the least disturbed of several where `--quiet` asks for quiet."""
        quiet, seconds = self._options.quiet, self._options.seconds
        if quiet is None:
            return cell.measure(seconds)
        tries: list[Sample] = []
        while not tries or (len(tries) < TRIES and self._patience_s > 0 and tries[-1].foreign_cores >= quiet):
            self._patience_s -= wait_for_quiet(quiet, min(60.0, self._patience_s))
            tries.append(cell.measure(seconds))
        self.void += len(tries) - 1
        return min(tries, key=lambda sample: sample.foreign_cores)

    def memory(self) -> memory.Growth | None:
        if not self._options.memory:
            return None
        server = self._ours("serveoff memory", self._artifact.serve_dir)
        self._console.say(f"memory: {self._options.memory:,} mixed requests")
        command = pinned(self.cores.client, memory.command(server, self.payloads, self._options.memory, self._options.seed))
        growth = memory.run(command, self._console.say)
        server.stop()
        return growth

    def _start(self) -> None:
        parts = set(self._options.only)
        digits = self._artifact.serve_dir
        if parts & {"rivals", "rest", "grpc"}:
            server = self._ours("serveoff", digits)
            if parts & {"rivals", "rest"}:
                self._rest(server, summary.OURS, 1, summary.CONCURRENCY)
            if "grpc" in parts:
                payloads.check_grpc("serveoff", server.grpc_port, self.payloads, self._artifact)
                self._cells.append(Grpc(summary.GRPC, server, self.payloads.grpc, self.cores.client))
                self._h2load(server, self.payloads.grpc, {summary.grpc_cell(summary.OURS, n): n for n in (1, summary.CONCURRENCY)})
            server.pause()
            self._in_process(summary.FLOOR, self._artifact.version_dir, self.payloads.digit)
        if "image" in parts:
            self._image()
        if "batching" in parts:
            self._batching()
        for name in self.rivals:
            self._rival(name)

    def _ours(self, name: str, base_path: Path, *flags: str) -> servers.Running:
        self._console.say(f"start: {name}")
        server = servers.ours(self._place, name, base_path, *flags)
        self._stack.callback(server.stop)
        return server

    def _rest(self, server: servers.Running, name: str, *concurrencies: int) -> None:
        path = "/v1/models/digits:predict"
        self.reply_bytes[name] = payloads.check_rest(server.name, server.rest_port, path, self.payloads.rows, self._artifact)
        self._cells += [
            Rest(summary.cell(name, n), server, path, self.payloads.rows, connections=n, core=self.cores.client) for n in concurrencies
        ]

    def _h2load(self, server: servers.Running, message: Path, cells: dict[str, int]) -> None:
        if shutil.which("h2load") is None:
            self.skips["gRPC by h2load"] = "h2load is not on PATH (Debian: nghttp2-client)"
            return
        body, log = payloads.framed(message), self._place.folder(server.name) / "h2load.log"
        self._cells += [GrpcH2load(name, server, body, connections=n, core=self.cores.client, log=log) for name, n in cells.items()]

    def _in_process(self, name: str, version_dir: Path, inputs: Path) -> None:
        floor = InProcess(name, version_dir, inputs, self.cores.server, self._place.folder(name) / "log.txt")
        self._stack.callback(floor.stop)
        self._cells.append(floor)

    def _image(self) -> None:
        base_path = self.directory / "models" / "mean_colour"
        if not (base_path / "1" / "saved_model.pb").is_file():
            argv = (sys.executable, "-P", "-m", "bench.in_process", "make-image", str(base_path / "1"))
            made = process.run_child(argv, env=process.environment(self.directory), log=self.directory / "mean_colour.log", timeout_s=300)
            if not made.ok:
                raise GateError(f"the image model cannot be made: {made.tail[-800:]}")
        server = self._ours("serveoff image", base_path)
        payloads.check_grpc(server.name, server.grpc_port, self.payloads, None)
        server.pause()
        self._cells.append(Grpc(summary.IMAGE, server, self.payloads.image_grpc, self.cores.client))
        self._h2load(server, self.payloads.image_grpc, {summary.IMAGE_H2LOAD: 1})
        self._in_process(summary.IMAGE_FLOOR, base_path / "1", self.payloads.image)

    def _batching(self) -> None:
        for name, flags in ((summary.BATCHING_OFF, ()), (summary.BATCHING_ON, servers.batching_flags(self._place, summary.BATCHING_ON))):
            server = self._ours(name, self._artifact.serve_dir, *flags)
            if "unknown argument: --enable_batching" in server.log.read_text(errors="replace"):
                self.skips["batching"] = "this server has no --enable_batching"
                self._cells = [cell for cell in self._cells if not cell.name.startswith(summary.BATCHING_OFF)]
                return
            self._rest(server, name, summary.BATCHING_CONCURRENCY)
            self._h2load(server, self.payloads.grpc, {summary.grpc_cell(name, summary.BATCHING_CONCURRENCY): summary.BATCHING_CONCURRENCY})
            server.pause()
        if summary.FLOOR not in {cell.name for cell in self._cells}:
            self._in_process(summary.FLOOR, self._artifact.version_dir, self.payloads.digit)
        self._in_process(summary.BATCH_FLOOR, self._artifact.version_dir, self.payloads.digits)

    def _rival(self, name: str) -> None:
        rival = RIVALS[name]
        programs = self._environment(name)
        self._console.say(f"start: {name}")
        server = servers.rival(self._place, name, rival, programs, self._artifact.version_dir)
        self._stack.callback(server.stop)
        body = self.payloads.rows if rival.body == "rows" else self.payloads.v2
        self.reply_bytes[name] = payloads.check_rest(name, server.rest_port, rival.predict, body, self._artifact)
        self.settings[name] = rival.settings
        self._cells += [
            Rest(summary.cell(name, n), server, rival.predict, body, connections=n, core=self.cores.client)
            for n in (1, summary.CONCURRENCY)
        ]
        server.pause()

    def _environment(self, name: str) -> Path:
        packages = RIVALS[name].packages
        directory = self.directory / "venvs" / packages[0].replace("==", "-")
        if not directory.is_dir():
            self._console.say(f"install: {', '.join(packages)} (minutes, once)")
        return servers.install(directory, RIVALS[name])


def _show(
    options: argparse.Namespace, bench: Bench, samples: dict[str, list[Sample]], goals: Sequence[Goal], growth: memory.Growth | None
) -> None:
    if options.json:
        result: dict[str, Any] = summary.as_json(samples, goals)
        result |= {"cores": {"server": bench.cores.server, "client": bench.cores.client, "separate": bench.cores.separate}}
        result |= {"void": bench.void, "skipped": bench.skips, "settings": bench.settings, "memory": growth.as_json() if growth else None}
        print(json.dumps(result, indent=2))
        return
    summary.show(samples, goals, bench.settings, bench.reply_bytes, bench.payloads)
    if bench.void:
        print(f"{bench.void} measurements were void, because others used {options.quiet} cores or more, and were repeated.")
    if not bench.cores.separate:
        print("Server and client shared one core: these figures say little.")
    for what, reason in bench.skips.items():
        print(f"skipped: {what}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
