"""The command line: a short function for each command."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command of this process, and end the process with its exit status."""
    try:
        from bnzoo.cli.ending import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # during the import, or a second one while the first is handled
        print("bnzoo: stopped", file=sys.stderr)
        status = 130
    sys.exit(status)
