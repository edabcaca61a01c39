"""The command line: one function a command, each as thin as it can be."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command of this process and end it with the exit status of the command."""
    from bnzoo.cli.ending import run

    sys.exit(run(sys.argv[1:]))
