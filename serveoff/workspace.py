"""Where things lie on disk. `SERVEOFF_WORKSPACE` moves the whole; the default is `workspace/` in the current directory.

checkpoints/MODEL/      training-FRAMEWORK-SEED.json, weights.safetensors, twin.json (written last), reference-FRAMEWORK/CASE.npz
                        of the user's own also: source.json, taken-ORIGIN.json, given/
training/               report.html, throughput.json, tensorboard/MODEL/FRAMEWORK-SEED/
artifacts/ARTIFACT_ID/  manifest.json (written last), serve/<version>/..., reference.npz, command.sh, export.log
artifacts/report.html   what every export proved
cache/                  what a compiler wants to find again
targets/TARGET_ID/      target.json, launch.json, log.txt, and the files the server was given
runs/RUN_ID/            intent.json (what was to be measured), run.json, report.html, report.md, raw records and Locust logs
running/                who is at work (`serveoff stop` ends them)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    root: Path

    @classmethod
    def current(cls) -> Workspace:
        return cls(Path(os.environ.get("SERVEOFF_WORKSPACE") or "workspace").resolve())

    def checkpoint(self, model: str) -> Path:
        return self.root / "checkpoints" / model

    @property
    def training(self) -> Path:
        return self.root / "training"

    @property
    def throughput(self) -> Path:
        return self.training / "throughput.json"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def targets(self) -> Path:
        return self.root / "targets"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def running(self) -> Path:
        return self.root / "running"
