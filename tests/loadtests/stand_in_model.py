"""`python stand_in_model.py MODE`: a server in TF Serving's row form whose model is y = [sum(x), x[0]]. Writes its port.

MODE: `good`; `wrong` (every answer is off); `slow` (50 ms); from the 30th request on `wrong_later` (off), `dies` (ends), `fails` (503).
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = sys.argv[1]
LATER = 30
seen = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        late = next(seen) >= LATER
        if MODE == "dies" and late:
            os._exit(3)
        if MODE == "slow":
            time.sleep(0.05)
        off = 0.25 if MODE == "wrong" or (MODE == "wrong_later" and late) else 0.0
        failed = MODE == "fails" and late
        reply = {"error": "overloaded"} if failed else {"predictions": [[sum(row) + off, row[0]] for row in rows]}
        body = json.dumps(reply).encode()
        self.send_response(503 if failed else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256


server = Server(("127.0.0.1", 0), Handler)
sys.stdout.write(f"{server.server_address[1]}\n")
sys.stdout.flush()
server.serve_forever()
