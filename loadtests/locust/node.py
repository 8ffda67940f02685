"""Starts one end of a load on several hosts: `python node.py master WAIT_S`, `python node.py worker HOST PORT`.

Locust is imported first, because that patches the process; and as in `start.py` one search for plug-ins is enough.
"""

import sys
from importlib import metadata

metadata.entry_points = metadata.entry_points().select

import locust  # noqa: E402, F401

from serveoff.registry import load_module  # noqa: E402

load_module(f"loadtests.locust.{sys.argv.pop(1)}").main()
