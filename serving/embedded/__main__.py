"""`python -m serving.embedded FLAGS`: a drop-in for `tensorflow_model_server`."""

from __future__ import annotations

import asyncio
import os
import sys

import serveoff
from serveoff.errors import ServeoffError

from . import flags as command_line
from .status import ServingError

SWITCH_INTERVAL_S = 0.0002


def main() -> None:
    arguments = sys.argv[1:]
    if {"--help", "-h"} & set(arguments):
        sys.stdout.write(command_line.usage() + "\n")
        return
    try:
        flags, unknown = command_line.parse(arguments, os.environ)
        if flags.version:
            sys.stdout.write(f"serveoff {serveoff.__version__}, speaks TensorFlow ModelServer's protocols\n")
            return
        for argument in unknown:
            sys.stdout.write(f"{command_line.unknown_text(argument)}\n{command_line.usage()}\n")
        _serve(flags)
    except ServeoffError as error:
        sys.stderr.write(error.message + "\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        _leave(error.exit_code)
    except ServingError as error:
        sys.stderr.write(f"Failed to start server. Error: {error}\n")
        _leave(1)
    _leave(0)


def _serve(flags: command_line.Flags) -> None:
    import warnings

    import uvloop

    from .server import ModelServer

    # A thread whose model is done waits for Python's lock at most this long, while the event loop is busy (Python's own 5 ms would show).
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # A number beyond float32 becomes infinity, as in TF Serving; numpy would say so on standard error.
    warnings.filterwarnings("ignore", "overflow encountered in cast")

    async def serve() -> None:
        await ModelServer(flags).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def _leave(code: int) -> None:
    """At once: a framework's own threads must not turn a clean end into a crash or a wait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
