"""The Locust file of a measurement: `SERVEOFF_LOAD_JOB=job.json locust -f locustfile.py --headless -u <connections> -r <connections>`."""

import os
from pathlib import Path

from serveoff.registry import load_module

CellUser = load_module("loadtests.locust.cell").prepare(Path(os.environ["SERVEOFF_LOAD_JOB"]))
