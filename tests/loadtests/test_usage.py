"""What a target used: real processes, and a cgroup tree as the kernel lays it out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from loadtests import cgroup, threads, usage
from loadtests.usage import Gauge, Reading

_WORKER = """
import sys, threading, time
sys.stdin.readline()
data = bytearray(80_000_000)
data[::4096] = b"x" * len(data[::4096])
end = time.process_time() + 0.2
while time.process_time() < end:
    pass
def nap():
    for _ in range(100):
        time.sleep(0.001)
    print("done", flush=True)
    threading.Event().wait()
threading.Thread(target=nap, daemon=True).start()
sys.stdin.read()
"""
"""It begins when it is told to, and stays as it is when it is done: what was read before and after is not a matter of luck."""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own files")
def test_a_process_and_its_threads_are_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        gauge, seen = Gauge(container=False), {worker.pid: psutil.Process(worker.pid)}
        first = gauge.read(seen)
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
        worker.stdout.readline()
        last = gauge.read(seen)
        worker.stdin.close()
        worker.wait()
        gone = gauge.read(seen)
    assert last.cpu_s - first.cpu_s > 0.15
    assert last.memory_bytes > 80_000_000
    assert (last.processes, last.threads) == (1, 2)
    assert first.voluntary is not None
    assert last.voluntary is not None
    assert last.voluntary - first.voluntary > 50, "the naps are the second thread's"
    assert gone.cpu_s == last.cpu_s, "what has ended has used what it used"
    assert (gone.memory_bytes, gone.processes, gone.threads) == (0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own files")
def test_switches_of_all_threads_not_of_the_first_only() -> None:
    found = threads.switches(os.getpid())
    assert len(found) == len(list(Path(f"/proc/{os.getpid()}/task").iterdir()))
    assert all(waited >= 0 and taken >= 0 for waited, taken in found.values())
    assert threads.switches(2**22 + 1) == {}


def group(tmp_path: Path, **files: str) -> tuple[Path, Path]:
    """A control group of process 77 as Docker makes them, and the tree it is in."""
    (tmp_path / "proc" / "77").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "cgroup").write_text("12:cpu:/old\n0::/system.slice/docker-0123.scope\n")
    below = tmp_path / "groups" / "system.slice" / "docker-0123.scope"
    below.mkdir(parents=True)
    for name, text in files.items():
        (below / name.replace("_", ".")).write_text(text)
    return tmp_path / "groups", tmp_path / "proc"


STAT = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n"


def test_the_figures_of_a_containers_group(tmp_path: Path) -> None:
    found = cgroup.read(77, *group(tmp_path, cpu_stat=STAT, memory_current="300000000\n", memory_peak="410000000\n"))
    assert found == cgroup.Group(cpu_s=2.5, memory_bytes=300_000_000, memory_peak_bytes=410_000_000)


def test_an_older_kernel_keeps_no_peak(tmp_path: Path) -> None:
    found = cgroup.read(77, *group(tmp_path, cpu_stat=STAT, memory_current="300000000\n"))
    assert found is not None
    assert found.memory_peak_bytes is None


@pytest.mark.parametrize("controllers", ["cpuacct", "cpu,cpuacct"])
@pytest.mark.parametrize("unified", ["", "0::/docker/0123\n"])
def test_the_figures_of_version_1(tmp_path: Path, controllers: str, unified: str) -> None:
    groups, proc = tmp_path / "groups", tmp_path / "proc"
    (proc / "77").mkdir(parents=True)
    (proc / "77" / "cgroup").write_text(f"9:name=systemd:/docker/0123\n4:memory:/docker/0123\n2:{controllers}:/docker/0123\n{unified}")
    for path, text in (("cpuacct/docker/0123/cpuacct.usage", "2500000000"), ("memory/docker/0123/memory.usage_in_bytes", "300000000")):
        (groups / path).parent.mkdir(parents=True)
        (groups / path).write_text(f"{text}\n")
    assert cgroup.read(77, groups, proc) is None, "one file is missing"
    (groups / "memory/docker/0123/memory.max_usage_in_bytes").write_text("410000000\n")
    assert cgroup.read(77, groups, proc) == cgroup.Group(cpu_s=2.5, memory_bytes=300_000_000, memory_peak_bytes=410_000_000)


def test_a_group_that_does_not_count_is_none(tmp_path: Path) -> None:
    groups, proc = group(tmp_path, cpu_stat=STAT)
    assert cgroup.read(77, groups, proc) is None, "memory is not accounted there"
    (proc / "77" / "cgroup").write_text("0::/\n")
    assert cgroup.read(77, groups, proc) is None, "the root is no container's"
    (proc / "77" / "cgroup").write_text("4:memory:/docker/0123\n2:cpuacct:/\n")
    assert cgroup.read(77, groups, proc) is None, "version 1, and CPU time is not accounted there"
    assert cgroup.read(78, groups, proc) is None, "it has ended"


def test_a_container_has_its_groups_figures_and_its_processes_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "read", lambda pid: cgroup.Group(9.0, 123, 456) if pid == os.getpid() else None)
    seen = {os.getpid(): psutil.Process()}
    found = Gauge(container=True).read(seen)
    assert (found.cpu_s, found.memory_bytes, found.memory_peak_bytes, found.processes) == (9.0, 123, 456, 1)
    assert found.voluntary is not None
    assert Gauge(container=False).read(seen).cpu_s != 9.0


def reading(number: int, memory_bytes: int, peak: int | None = None) -> Reading:
    """After so many seconds of a target that uses half a core and switches 100 times a second."""
    return Reading(10 + 0.5 * number, memory_bytes, 2, 30 + number, 100 * number, 10 * number, peak)


def test_counters_are_cut_to_the_window_and_memory_is_what_was_seen_in_it() -> None:
    during = [reading(n, memory_bytes) for n, memory_bytes in enumerate((100, 300, 200, 200))]
    found = usage.usage(during, [0, 10**9, 2 * 10**9, 3 * 10**9], 500_000_000, 2_500_000_000)
    assert found.cpu_s == pytest.approx(1.0)
    assert (found.voluntary_switches, found.involuntary_switches) == (200, 20)
    assert (found.memory_mean_bytes, found.memory_peak_bytes, found.processes, found.threads) == (200, 300, 2, 33)


@pytest.mark.parametrize(("before", "after", "peak"), [(350, 350, 300), (350, 400, 400), (None, None, 300)])
def test_the_kernels_peak_counts_when_it_was_reached_meanwhile(before: int | None, after: int | None, peak: int) -> None:
    during = [reading(0, 300, before), reading(1, 200, after)]
    assert usage.usage(during, [0, 10**9], 0, 10**9).memory_peak_bytes == peak


def test_what_nobody_counts_is_unknown() -> None:
    during = [Reading(1, 1, 1, 1), Reading(2, 1, 1, 1, 5, 5)]
    found = usage.usage(during, [0, 10**9], 0, 10**9)
    assert (found.voluntary_switches, found.involuntary_switches) == (None, None)
