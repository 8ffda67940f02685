from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serveoff import storage
from serveoff.contract import Skip, Skips
from serveoff.errors import InputError

SKIPS = Skips(skips=(Skip(stage="serve", what="tfserving", reason="not here"),))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "skips.json"
    storage.write(path, SKIPS)
    assert storage.read(path, Skips) == SKIPS
    assert [p.name for p in path.parent.iterdir()] == ["skips.json"], "no temporary file is left"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "skips.json"
    storage.write(path, SKIPS)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*skips\.json: No space left on device"):
        storage.write(path, Skips(skips=()))
    assert storage.read(path, Skips) == SKIPS
    assert [p.name for p in tmp_path.iterdir()] == ["skips.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(extra=1), "unknown field `extra`"),
        (lambda raw: raw.pop("skips"), "missing required field `skips`"),
        (lambda raw: raw["skips"][0].update(reason=3), r"Expected `str`, got `int` - at `\$.skips\[0\].reason`"),
        (lambda raw: raw.update(schema=99), "has schema 99, this serveoff reads up to 1"),
        (lambda raw: raw.pop("schema"), "has no schema number"),
    ],
)
def test_a_file_that_does_not_fit_names_the_place(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "skips.json"
    storage.write(path, SKIPS)
    raw = json.loads(path.read_text())
    change(raw)  # type: ignore[operator]
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message) as error:
        storage.read(path, Skips)
    assert str(path) in error.value.message


def test_missing_and_broken_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        storage.read(tmp_path / "no.json", Skips)
    (tmp_path / "half.json").write_text('{"schema": 1, "skips": [')
    with pytest.raises(InputError, match="is not valid JSON"):
        storage.read(tmp_path / "half.json", Skips)


def test_threads_that_meet_a_type_for_the_first_time_do_not_crash_the_process() -> None:
    """Without a lock this ends by a segmentation fault, three times of three: msgspec 0.22 looks through a type while others run."""
    done = subprocess.run([sys.executable, "-c", _MEETING], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


_MEETING = """
import random, sys, threading, types
from serveoff.storage import converted

INNER = "class I{0}(Struct):\\n" + "".join(f"    f{n}: 'int | None' = None\\n" for n in range(20))
CODE = "".join(INNER.format(n) for n in range(20)) + "class Outer(Struct):\\n" + "".join(f"    i{n}: 'I{n}'\\n" for n in range(20))
RAW = {f"i{n}": {"f3": 1} for n in range(20)}

def late(kind):
    for _ in range(random.randrange(3000)):
        pass
    converted(RAW, kind)

random.seed(0)
sys.setswitchinterval(1e-6)
for number in range(40):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec("from msgspec import Struct\\n" + CODE, module.__dict__)
    threads = [threading.Thread(target=meet, args=(module.Outer,)) for meet in (lambda kind: converted(RAW, kind), late)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
