"""The Locust file of the web UI: `SERVEOFF_LOAD_JOB=desk.json locust -f desk_locustfile.py`."""

import os
from pathlib import Path

from serveoff.registry import load_module

DeskUser = load_module("loadtests.locust.desk").prepare(Path(os.environ["SERVEOFF_LOAD_JOB"]))
