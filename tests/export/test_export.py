from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from export import facts
from export.export import export
from serveoff import artifacts, host, process, reference, storage, tflite_names
from serveoff.console import Console
from serveoff.contract import ExportFailure, Skips
from serveoff.errors import InputError
from serveoff.plugins import Artifact
from serveoff.registry import FORMATS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def artifact(workspace: Workspace, format_name: str) -> Artifact:
    (found,) = artifacts.find(workspace, Selection(formats=(format_name,)))
    return found


@pytest.fixture
def copy(exported: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(exported.root, tmp_path / "w")
    return Workspace(tmp_path / "w")


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.all().items() if any(s.default for s in kind.sources.values())])
def test_every_default_format_is_verified_and_described(exported: Workspace, name: str) -> None:
    found = artifact(exported, name)
    manifest = found.manifest
    artifacts.verify(found)
    assert manifest.parity.passed
    cases = [c.case for c in manifest.parity.checks]
    assert {"samples, batch 1", "samples, batch 3", "samples, batch 8", "samples, batch 360", "all-black", "out-of-range"} <= set(cases)
    assert manifest.parity.metric is not None
    assert manifest.size_bytes == sum(p.stat().st_size for p in (found.directory / "serve").rglob("*") if p.is_file())
    assert manifest.size_bytes > 100_000, "the weights are in it"
    assert manifest.export_s > 0
    assert manifest.peak_memory_bytes > 100e6, "a framework was loaded"
    assert (found.version_dir / manifest.serve_file).is_file()
    assert "reference.npz" in {f.path for f in manifest.files}


def test_tflite_has_its_names_where_tf_serving_reads_them(exported: Workspace) -> None:
    found = artifact(exported, "tflite")
    content = (found.version_dir / found.manifest.serve_file).read_bytes()
    assert tflite_names.METADATA.encode() in content
    assert tflite_names.with_names(content) is content, "nothing is to be added"


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.all().items() if any(s.default for s in kind.sources.values())])
def test_what_it_takes_without_a_server_is_measured(exported: Workspace, name: str) -> None:
    facts = artifact(exported, name).manifest.facts
    assert facts is not None
    assert facts.reason == ""
    assert facts.cold_load_s > 0
    assert facts.first_inference_s > 0
    assert facts.resident_bytes > 20e6, "a runtime was loaded"
    assert {(one.threads, one.batch) for one in facts.latency} == {(t, b) for t in (1, host.cores()) for b in (1, 8)}
    assert all(one.p50_us > 0 and one.calls > 1 for one in facts.latency)


def test_what_cannot_be_called_says_why(copy: Workspace) -> None:
    found = artifact(copy, "onnx")
    (found.version_dir / "model.onnx").write_bytes(b"no model")
    assert facts.measure(found, copy.root, copy.root / "runtime.log").reason.startswith("its runtime failed: ")


def test_a_changed_file_is_noticed_before_it_is_served(copy: Workspace) -> None:
    found = artifact(copy, "onnx")
    path = found.version_dir / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match=r"model\.onnx has changed since"):
        artifacts.verify(found)
    path.unlink()
    with pytest.raises(InputError, match=r"model\.onnx is missing"):
        artifacts.verify(found)


def test_changed_reference_answers_are_noticed(copy: Workspace) -> None:
    found = artifact(copy, "onnx")
    found.reference_file.write_bytes(found.reference_file.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"reference\.npz has changed since"):
        artifacts.verify(found)


def test_the_script_repeats_the_export_as_it_stands(copy: Workspace, tmp_path: Path) -> None:
    found = artifact(copy, "savedmodel")
    script = found.directory / "command.sh"
    before = sorted(copy.artifacts.iterdir())
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    named, chosen = (
        subprocess.run([str(script), *where], env=plain, cwd=tmp_path, capture_output=True, text=True, check=False)
        for where in ((str(tmp_path / "named"),), ())
    )
    for done in (named, chosen):
        assert done.returncode == 0, done.stderr
        again = artifacts.read(Path(done.stdout.splitlines()[-1]))
        assert again.manifest.id == found.manifest.id
        assert again.manifest.parity.passed
    assert named.stdout.splitlines()[-1] == str(tmp_path / "named")
    assert sorted(copy.artifacts.iterdir()) == before, "the workspace's artifacts are left alone"
    shutil.rmtree(chosen.stdout.splitlines()[-1])


def test_one_failed_export_leaves_the_others_standing(serveoff: Command, copy: Workspace) -> None:
    samples = copy.checkpoint("digits_cnn") / "reference-keras" / "samples.npz"
    known = reference.load(samples)
    reference.save(samples, reference.Reference(known.inputs, {"logits": known.outputs["logits"] + 1}, known.labels))
    done = serveoff("export", "--format", "savedmodel", "--format", "torchscript", "--json", workspace=copy.root)
    assert done.returncode == 5
    assert "1 of 2 exports failed: digits_cnn.keras.savedmodel.float32" in done.stderr
    reasons = {o["id"]: o["reason"] for o in json.loads(done.stdout)["exports"]}
    assert reasons["digits_cnn.pytorch.torchscript.float32"] == ""
    assert "values differ by more than" in reasons["digits_cnn.keras.savedmodel.float32"]
    assert [a.manifest.format for a in artifacts.find(copy, Selection())] == ["tflite", "onnx", "torchscript"], "the stale one is gone"
    (noted,) = storage.read(copy.artifacts / "skips.json", Skips).skips
    assert noted.reason.startswith("the export failed: samples, batch 1"), "the report will say so"
    failure = storage.read(copy.artifacts / "digits_cnn.keras.savedmodel.float32" / "failure.json", ExportFailure)
    assert failure.parity is not None
    assert failure.parity.checks[0].passed, "the evidence is kept: the edge inputs were right, the samples were not"


def test_an_export_that_hangs_is_ended(serveoff: Command, copy: Workspace) -> None:
    done = serveoff("export", "--format", "savedmodel", "--force", "--timeout-s", "1", workspace=copy.root)
    assert done.returncode == 5
    assert "took longer than 1 s" in done.stdout
    assert not list(copy.artifacts.glob(".*")), "nothing half-made is left"


def test_an_export_that_needs_too_much_memory_is_one_row_with_its_reason(serveoff: Command, copy: Workspace) -> None:
    asked = ("export", "--format", "savedmodel", "--format", "torchscript", "--force", "--memory-gib", "0.1", "--jobs", "2", "--json")
    done = serveoff(*asked, workspace=copy.root)
    assert done.returncode == 5
    reasons = [o["reason"] for o in json.loads(done.stdout)["exports"]]
    assert len(reasons) == 2
    assert all(reason.startswith("the export needed more than 0.1 GiB of memory") for reason in reasons)


def test_a_second_call_makes_only_what_changed(serveoff: Command, copy: Workspace) -> None:
    damaged = artifact(copy, "torchscript").version_dir / "model.pt"
    damaged.write_bytes(damaged.read_bytes() + b"0")
    done = serveoff("export", "--no-facts", "--json", workspace=copy.root)
    assert done.returncode == 0, done.stderr
    unchanged = {o["id"]: o["unchanged"] for o in json.loads(done.stdout)["exports"]}
    assert {name for name, same in unchanged.items() if not same} == {"digits_cnn.pytorch.torchscript.float32"}
    assert len(unchanged) == 4
    made = artifact(copy, "torchscript")
    artifacts.verify(made)
    assert made.manifest.facts is None
    assert artifact(copy, "onnx").manifest.facts is not None, "what was measured stays"
    (later,) = json.loads(serveoff("export", "--format", "torchscript", "--json", workspace=copy.root).stdout)["exports"]
    assert later["unchanged"]
    assert later["manifest"]["facts"]["latency"], "measured where that was left out"


def test_what_does_not_go_together_is_said(serveoff: Command, tmp_path: Path) -> None:
    done = serveoff("export", "--framework", "keras", "--format", "torchscript", workspace=tmp_path)
    assert done.returncode == 2
    assert "no format is exported from what you selected" in done.stderr


@pytest.mark.parametrize(
    ("ended_by", "said"), [(signal.SIGSEGV, "the export crashed (Segmentation fault)"), (signal.SIGKILL, "killed from outside")]
)
def test_a_crash_is_one_row_and_the_others_are_made(copy: Workspace, ended_by: signal.Signals, said: str) -> None:
    asked = Selection(formats=("savedmodel", "torchscript"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(export, asked, copy, Console(quiet=True), jobs=2, force=True, facts=False)
        worker = None
        while worker is None:
            assert not running.done()
            worker = next((one for one in process.owned(copy.root) if "torchscript" in command(one)), None)
        worker.send_signal(ended_by)
        outcomes, skips = running.result()
    reasons = {o.id: o.reason for o in outcomes}
    assert reasons.pop("digits_cnn.keras.savedmodel.float32") == ""
    assert said in reasons["digits_cnn.pytorch.torchscript.float32"]
    assert skips == []
    assert not list(copy.artifacts.glob(".*")), "nothing half-made is left"


def command(one: psutil.Process) -> list[str]:
    try:
        return one.cmdline()
    except psutil.Error:
        return []


def test_a_lower_accuracy_may_be_asked_for_and_a_higher_one_is_not_taken_for_granted(serveoff: Command, copy: Workspace) -> None:
    def ratio_and_unchanged(*options: str) -> tuple[float, bool]:
        done = serveoff("export", "--framework", "pytorch", "--format", "onnx", "--no-facts", "--json", *options, workspace=copy.root)
        assert done.returncode == 0, done.stderr
        (made,) = json.loads(done.stdout)["exports"]
        return made["manifest"]["parity"]["metric"]["minimum_ratio"], made["unchanged"]

    assert ratio_and_unchanged("--metric-ratio", "0.5") == (0.5, False)
    assert ratio_and_unchanged("--metric-ratio", "0.5") == (0.5, True)
    assert ratio_and_unchanged() == (0.99, False)
