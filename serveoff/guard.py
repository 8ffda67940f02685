"""`python guard.py PARENT_PID COMMAND...`: becomes COMMAND, and dies when its parent dies (Linux; elsewhere `serveoff stop` finds it).

A process of its own rather than `preexec_fn`, which is not safe in a program with threads. Imports nothing of ours: it runs by its path.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); it survives execve


def main() -> None:
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above took effect
        sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - replacing ourselves is the point


main()
