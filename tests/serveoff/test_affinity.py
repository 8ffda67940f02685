"""Cores of processes, on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serveoff import affinity

pytestmark = pytest.mark.skipif(not affinity.supported(), reason="this system has no CPU affinity")

_THREADS = """
import sys, threading
stop = threading.Event()
for _ in range(3):
    threading.Thread(target=stop.wait, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", _THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        yield running


def test_every_thread_of_a_process_is_pinned_and_freed(child: subprocess.Popen[str]) -> None:
    one, everywhere = affinity.usable()[-1:], affinity.usable()
    affinity.pin(child.pid, one)
    threads = [int(task.name) for task in Path(f"/proc/{child.pid}/task").iterdir()]
    assert len(threads) == 4
    assert {tuple(os.sched_getaffinity(thread)) for thread in threads} == {one}
    assert affinity.of(child.pid) == set(one)
    affinity.pin(child.pid, everywhere)
    assert affinity.of(child.pid) == set(everywhere)


def test_our_own_new_threads_inherit_it() -> None:
    everywhere, seen = affinity.usable(), []
    try:
        affinity.pin(os.getpid(), everywhere[:1])
        thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
    finally:
        affinity.pin(os.getpid(), everywhere)
    assert seen == [set(everywhere[:1])]
    assert affinity.usable() == everywhere


def test_a_process_that_has_ended_is_no_error() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    affinity.pin(ended.pid, (0,))
    assert affinity.of(ended.pid) == frozenset()


@pytest.mark.parametrize(("text", "cores"), [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("6,0-1", (0, 1, 6)), ("1,1", (1,)), ("3-1", ())])
def test_lists_of_cores(text: str, cores: tuple[int, ...]) -> None:
    assert affinity.numbers(text) == cores


@pytest.mark.parametrize("text", ["", "a", "0-", "1-2-3", "0;1"])
def test_what_is_no_list_of_cores(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        affinity.numbers(text)


def test_hardware_threads_of_a_core(tmp_path: Path) -> None:
    (tmp_path / "cpu3" / "topology").mkdir(parents=True)
    (tmp_path / "cpu3" / "topology" / "thread_siblings_list").write_text("1,3\n")
    assert affinity.siblings(3, tmp_path) == (1, 3)
    assert affinity.siblings(0, tmp_path) == (0,), "where the system does not say"
