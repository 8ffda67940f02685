"""`python -m bench.grpc_client ADDRESS METHOD BODY_FILE SECONDS`: one call after the other over one connection, bytes in, bytes out.

Prints one line of JSON in the form of `post.lua`, times in microseconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import grpc

from bench.figures import percentile

OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def main() -> None:
    address, method, file, seconds = sys.argv[1:]
    body = Path(file).read_bytes()
    taken: list[int] = []
    refused = 0
    clock = time.perf_counter_ns
    with grpc.insecure_channel(address, OPTIONS) as channel:
        call = channel.unary_unary(method)
        for _ in range(50):
            call(body, timeout=30)
        start = clock()
        end = start + int(float(seconds) * 1e9)
        while (sent := clock()) < end:
            try:
                call(body, timeout=30)
            except grpc.RpcError:
                refused += 1
            taken.append(clock() - sent)
        elapsed_s = (clock() - start) / 1e9
    taken.sort()
    figures = {"requests": len(taken), "seconds": elapsed_s, "refused": refused, "broken": 0}
    print(json.dumps({**figures, "p50_us": percentile(taken, 0.5) / 1e3, "p99_us": percentile(taken, 0.99) / 1e3}))


main()
