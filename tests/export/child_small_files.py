"""Run as a child: `child_small_files.py BYTES ARGUMENTS...`: the export worker, where one ONNX file holds fewer than BYTES of weights."""

from __future__ import annotations

import sys

from export import worker
from serveoff import onnx_file

onnx_file.ONE_FILE_BYTES = int(sys.argv.pop(1))
worker.main()
