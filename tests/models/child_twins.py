"""Draw and answer with many models in one process of one framework: what `models.worker` does for each, without importing it again."""

from __future__ import annotations

import sys

from models import worker


def main() -> None:
    framework, folder, *names = sys.argv[1:]
    for name in names:
        arguments = ["--model", name, "--framework", framework, "--first", "pytorch", "--checkpoint", f"{folder}/{name}"]
        sys.argv = ["worker", *arguments, "--curves", f"{folder}/curves", "--epochs", "0", "--seeds", "0"]
        worker.main()


if __name__ == "__main__":
    main()
