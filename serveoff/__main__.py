"""`python -m serveoff`, and the console script: as little as can be is imported before Ctrl-C is handled."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from serveoff import cli

        cli.main()
    except KeyboardInterrupt:  # while the command line itself was being imported, too
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
