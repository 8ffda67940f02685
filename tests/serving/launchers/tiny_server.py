"""`python tiny_server.py PORT [--host ADDRESS] [--behaviour NAME]`: a real HTTP server that doubles its input, or fails.

GET /ready -> "ready"; POST / {"instances": [[x, ...]]} -> {"predictions": [[2x, ...]]}.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOURS = ("good", "wrong", "silent", "exit", "killed", "stubborn", "parent", "exposed")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--behaviour", choices=BEHAVIOURS, default="good")
    arguments = parser.parse_args()
    sys.stdout.write(f"tiny server, {arguments.behaviour}, port {arguments.port}, told {os.environ.get('TOLD', 'nothing')}\n")
    sys.stdout.flush()
    if arguments.behaviour == "exit":
        sys.exit("the model does not fit: 7 tensors of 9")
    if arguments.behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if arguments.behaviour == "silent":
        threading.Event().wait()
    if arguments.behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if arguments.behaviour == "parent":  # a worker that leaves the family: another session, another parent
        subprocess.run([sys.executable, "-c", _DAEMON, sys.executable], check=True)
    factor = 3 if arguments.behaviour == "wrong" else 2
    address = "0.0.0.0" if arguments.behaviour == "exposed" else arguments.host
    ThreadingHTTPServer((address, arguments.port), handler(factor)).serve_forever()


_DAEMON = """
import subprocess, sys
child = subprocess.Popen([sys.argv[1], "-c", "import time; time.sleep(600)"], start_new_session=True)
print("worker", child.pid, flush=True)
import os
os._exit(0)
"""


def handler(factor: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(b"ready")

        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
            self.reply(json.dumps({"predictions": [[factor * value for value in row] for row in rows]}).encode())

        def reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    return Handler


if __name__ == "__main__":
    main()
