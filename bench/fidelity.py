"""Do our load processes see what wrk and h2load see? `python -m bench.fidelity`, all in one run, in rounds, in a shuffled order.

One server answers each request after a fixed time. At concurrency 1 and 8 wrk is the reference, at a paced rate h2load's log of every
request. Then the server stops everything for two seconds: an open loop has to say so, Locust as it comes does not. The server keeps every
different request it gets, which shows that all of them sent the same. A goal is judged on the median of its rounds.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from bench import witnesses
from bench.fidelity_goals import RATE, SERVICE_MS, STALL_S, STALL_WINDOW_S, goals, stall_goals, stall_p99_us
from bench.figures import figure
from bench.machine import cores, pinned
from bench.stand_ins import StandIns
from bench.witnesses import Request
from loadtests import cell, cpu_sets, handover, payloads
from loadtests.candidates import Candidate
from loadtests.plan import make
from loadtests.witnesses import Seen
from report.percentiles import P50, P99, decode, estimate
from serveoff import artifacts, storage
from serveoff.console import Console
from serveoff.contract import Parity
from serveoff.errors import ServeoffError, UsageError
from serveoff.launch import Target
from serveoff.registry import PROTOCOLS
from serveoff.workspace import Workspace

PROTOCOL = "tfs_rest"
CONNECTIONS = 8
PACED_CONNECTIONS = 5
"""Over so many h2load, which counts in milliseconds, sends evenly at this rate. To a server that computes, uneven gaps are another load."""
STALL_CONNECTIONS = 64
"""Enough for the backlog of the stall to go out at once."""
_STALL_AFTER_S = 3
_STALL_ROUNDS = 3

Rounds = dict[str, list[Seen]]
"""What each client saw, round by round."""


class Bench:
    def __init__(self, folder: Path, seconds: int) -> None:
        self._folder, self._seconds = folder, seconds
        self._stand_ins = StandIns(folder)
        self._numbers = itertools.count()
        self.cores = cores()
        self.bytes: dict[str, dict[str, int]] = defaultdict(dict)
        self.request: Request | None = None

    def close(self) -> None:
        self._stand_ins.close()

    def start(self, name: str, *options: str) -> Target:
        return self._stand_ins.start(name, "--work", "timer", "--ms", str(SERVICE_MS), *options, prefix=pinned(self.cores.server, []))

    def ours(
        self,
        target: Target,
        profile: str,
        *,
        warmup_s: float = 1.0,
        seconds: int | None = None,
        wrong: bool = False,
        from_due: bool = False,
    ) -> Seen:
        """One load process of ours, through the code that measures every cell.

        Latency counts from when a request was sent, as wrk and h2load count it, or from when it was due. `wrong`: whoever answers is not
        the model.
        """
        endpoint = next(each for each in target.endpoints if each.protocol == PROTOCOL)
        candidate = Candidate(target, artifacts.read(Path(target.artifact_path)), endpoint, PROTOCOLS.load(PROTOCOL))
        run_dir = self._folder / "runs" / str(next(self._numbers))
        directory = run_dir / "cells" / "fidelity"
        written = payloads.write(directory / payloads.FILE, candidate.artifact, candidate.endpoint, candidate.wire)
        one = handover.Payloads(transport=written.transport, path=written.path, headers=written.headers_of(0), bodies=written.bodies[:1])
        handover.pack(directory / payloads.FILE, one)
        plan = make([f"{profile},duration_s={seconds or self._seconds}"], warmup_s=warmup_s, warmup_limit_s=warmup_s)
        checked = Parity(tolerance=candidate.artifact.manifest.parity.tolerance, checks=())
        subject = cell.Subject(candidate, checked, directory, one)
        loaded = cell.probe(subject, plan.profiles[0], plan, self._stand_ins.workspace.root, "1", steady=False)
        if loaded.measurement is None or (loaded.faults and not wrong):
            raise ServeoffError(f"our load process failed: {'; '.join((*loaded.faults, *loaded.disturbances))}")
        latency = decode(loaded.measurement.latency_hdr if from_due else loaded.measurement.service_hdr)
        p50, p99 = estimate(latency, P50), estimate(latency, P99)
        assert p50 is not None
        assert p99 is not None
        shutil.rmtree(run_dir)
        return Seen(latency.n, loaded.measurement.throughput_rps, p50.value_us, p99.value_us, "; ".join(loaded.disturbances))

    def recorded(self, who: str, target: Target) -> bytes:
        """What the server got since the last time; the request that came most often."""
        port = target.endpoints[0].port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/seen", timeout=30) as reply:
            seen = json.loads(reply.read())
        urllib.request.urlopen(f"http://127.0.0.1:{port}/reset", timeout=30).close()
        if not seen:
            raise ServeoffError(f"{who} sent nothing")
        for each in seen:
            raw = base64.b64decode(each["request"])
            head, _, body = raw.partition(b"\r\n\r\n")
            key = f"body {len(body)} B sha256 {hashlib.sha256(body).hexdigest()[:16]}, head {len(head) + 4} B"
            self.bytes[who][key] = self.bytes[who].get(key, 0) + each["times"]
        return base64.b64decode(max(seen, key=lambda each: int(each["times"]))["request"])

    def prove(self, target: Target, recorder: Target) -> None:
        """Send what `target` would get from each client to the recorder instead; then take the recorder's port for the target's."""
        port = recorder.endpoints[0].port
        real = next(each for each in target.endpoints if each.protocol == PROTOCOL)
        self.ours(
            msgspec.structs.replace(target, endpoints=(msgspec.structs.replace(real, port=port),)), "closed:users=1", seconds=1, wrong=True
        )
        raw = self.recorded("ours", recorder)
        witnesses.wrk(Request(raw, port), 1, 1, self._folder)
        self.recorded("wrk", recorder)
        witnesses.h2load(Request(raw, port), RATE, PACED_CONNECTIONS, 1, self._folder)
        self.recorded("h2load", recorder)
        self.request = Request(raw.replace(f":{port}\r\n".encode(), f":{real.port}\r\n".encode(), 1), real.port)

    def cells(self, target: Target) -> dict[str, Callable[[], Seen]]:
        assert self.request is not None
        request, work, seconds = self.request, self._folder, self._seconds
        paced = f"constant:rate_rps={RATE:g},connections={PACED_CONNECTIONS}"
        return {
            "ours, 1": lambda: self.ours(target, "closed:users=1"),
            "wrk, 1": lambda: witnesses.wrk(request, 1, seconds, work),
            "ours, 8": lambda: self.ours(target, f"closed:users={CONNECTIONS}"),
            "wrk, 8": lambda: witnesses.wrk(request, CONNECTIONS, seconds, work),
            "ours, 400/s": lambda: self.ours(target, paced),
            "h2load, 400/s": lambda: witnesses.h2load(request, RATE, PACED_CONNECTIONS, seconds, work),
        }

    def stalls(self) -> Rounds:
        """Our open loop and plain Locust on servers that stop for two seconds, once each."""
        found: Rounds = {"ours": [], "plain Locust": []}
        with Console().bar("stall", _STALL_ROUNDS) as bar:
            for number in range(1, _STALL_ROUNDS + 1):
                for who, seen in found.items():
                    seen.append(self._stall(who, number))
                bar.advance_to(number, "")
        return found

    def _stall(self, who: str, number: int) -> Seen:
        at = str(round(RATE * (1 + _STALL_AFTER_S)))
        target = self.start(f"stall-{who.replace(' ', '-')}-{number}", "--stall-at", at, "--stall-s", str(STALL_S))
        if who == "ours":
            load = f"constant:rate_rps={RATE:g},connections={STALL_CONNECTIONS}"
            return self.ours(target, load, seconds=STALL_WINDOW_S, from_due=True)
        assert self.request is not None
        request = Request(self.request.raw, target.endpoints[0].port)
        return witnesses.plain_locust(request, RATE, STALL_WINDOW_S + 1, self._folder)


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="serveoff-fidelity-"))
    bench = Bench(folder, options.seconds)
    try:
        witnesses.require("wrk", "h2load", "taskset")
        target = _served(options.target) if options.target else None
        with cpu_sets.apart([target] if target else [], cpu_sets.AUTO, Console()):  # as in a run; the fixed server is pinned when it starts
            os.sched_setaffinity(0, {bench.cores.client})
            samples = _measure(bench, target, options)
            stalled = {} if options.no_stall else bench.stalls()
    except ServeoffError as error:
        Console().say(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    _show(options, samples, stalled, bench.bytes)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fidelity", description=__doc__)
    parser.add_argument("--rounds", type=int, default=19, help="how often everything is measured (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (default: %(default)s)")
    parser.add_argument(
        "--target", help="a target of this workspace that is being served (its id or a part of it) instead of the fixed server"
    )
    parser.add_argument("--no-stall", action="store_true", help="leave the stall out")
    parser.add_argument("--seed", type=int, default=0, help="of the order within a round")
    parser.add_argument("--json", action="store_true", help="the figures of every round as JSON")
    return parser.parse_args()


def _measure(bench: Bench, served: Target | None, options: argparse.Namespace) -> Rounds:
    recorder = bench.start("fixed")
    target = served or recorder
    if served:
        bench.prove(served, recorder)
    else:
        bench.ours(target, "closed:users=1", warmup_s=0.2, seconds=1)
        bench.request = Request(bench.recorded("ours", target), target.endpoints[0].port)
    cells = bench.cells(target)
    samples: Rounds = {name: [] for name in cells}
    with Console().bar("measure", options.rounds * len(cells)) as bar:
        for number, names in enumerate(_orders(list(cells), options)):
            for done, name in enumerate(names, 1):
                samples[name].append(cells[name]())
                if target is recorder:
                    bench.recorded(name.partition(",")[0], target)
                bar.advance_to(number * len(cells) + done, name)
    return samples


def _orders(names: Sequence[str], options: argparse.Namespace) -> Iterator[list[str]]:
    """Of each round, shuffled; the two that are compared come one right after the other, since the machine's speed drifts."""
    loads = list(dict.fromkeys(name.partition(", ")[2] for name in names))
    order = random.Random(options.seed)
    for _ in range(options.rounds):
        pairs = [[name for name in names if name.endswith(f", {load}")] for load in order.sample(loads, k=len(loads))]
        yield [name for pair in pairs for name in order.sample(pair, k=len(pair))]


def _served(text: str) -> Target:
    known = [storage.read(path, Target) for path in sorted(Workspace.current().targets.glob("*/target.json"))]
    found = [each for each in known if text in each.id and any(end.protocol == PROTOCOL for end in each.endpoints)]
    if len(found) != 1:
        raise UsageError(f"{len(found)} targets match {text!r}", hint=f"being served: {', '.join(each.id for each in known) or 'nothing'}")
    return found[0]


def _show(options: argparse.Namespace, samples: Rounds, stalled: Rounds, sent: dict[str, dict[str, int]]) -> None:
    judged = [*goals(samples), *(stall_goals(stalled) if stalled else [])]
    if options.json:
        rounds = {name: [asdict(each) for each in seen] for name, seen in samples.items()}
        stall = {name: [asdict(each) for each in seen] for name, seen in stalled.items()}
        print(json.dumps({"rounds": rounds, "stall": stall, "goals": [goal.as_json() for goal in judged], "sent": sent}, indent=2))
        return
    print(f"{'client':16} {'req/s':>9} {'p50 ms':>9} {'p99 ms':>9}  (medians of {options.rounds} rounds of {options.seconds} s)")
    for name, seen in samples.items():
        rps, p50, p99 = (figure([getattr(s, field) for s in seen]).median for field in ("rps", "p50_us", "p99_us"))
        disturbed = sum(bool(s.disturbed) for s in seen)
        note = f"  {disturbed} of {len(seen)} rounds would be void: {next(s.disturbed for s in seen if s.disturbed)}" if disturbed else ""
        print(f"{name:16} {rps:9,.0f} {p50 / 1000:9.3f} {p99 / 1000:9.3f}{note}")
    if stalled:
        due_ms = stall_p99_us(RATE, STALL_WINDOW_S) / 1000
        print(f"\nA server that stops for {STALL_S:g} s at {RATE:g}/s; by the schedule p99 is {due_ms:,.0f} ms:")
        for name, seen in stalled.items():
            rps, p50, p99 = (figure([getattr(s, field) for s in seen]).median for field in ("rps", "p50_us", "p99_us"))
            print(f"  {name:14} p99 {p99 / 1000:9,.1f} ms, p50 {p50 / 1000:.1f} ms, {rps:.0f} replies/s (medians of {len(seen)})")
    print("\nGoals, on the median of the rounds:")
    for goal in judged:
        value = goal.value
        spread = f"rounds {value.low:+.3f} to {value.high:+.3f}" if value.rounds > 1 else "one run"
        sign = ">=" if goal.rising else "<="
        print(f"  {goal.name:42} {value.median:8.3f} {goal.unit} (goal {sign} {goal.limit:g}; {spread}): {goal.verdict}")
    print("\nWhat the server got:")
    for who, kinds in sent.items():
        for kind, times in kinds.items():
            print(f"  {who:8} {kind}, {times:,} times")
    bodies = {kind.partition(",")[0] for kinds in sent.values() for kind in kinds}
    same = set(sent["ours"]) == set(sent["wrk"]) and len(sent["ours"]) == 1
    heads = "the same head, too" if same else "DIFFERENT heads"
    print(f"  {'the same body from all' if len(bodies) == 1 else 'DIFFERENT bodies'}; ours and wrk: {heads}")


if __name__ == "__main__":
    sys.exit(main())
