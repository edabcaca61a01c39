"""The command line: one function a command, each as thin as it can be."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command of this process and end it with the exit status of the command."""
    try:
        from bnzoo.cli.ending import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while this was imported, or once more while the first was answered
        print("bnzoo: stopped", file=sys.stderr)
        status = 130
    sys.exit(status)
