"""The rows of a benchmark in a file of JSON lines, so that a command that was stopped goes on."""

import json
import platform
from pathlib import Path
from typing import Any

import typer

from bnzoo.files import write_text


class RowFile:
    """The rows of a benchmark, each of which is in a file as soon as it is known.

    Args:
        path: The path of the file, which may not exist yet.
        **settings: What changes the figures of all rows, as JSON. Each row has it.

    Raises:
        typer.BadParameter: If a row of the file has other settings.
    """

    def __init__(self, path: Path, **settings: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._path, self._settings = path, settings
        for row in self.rows:
            found = {name: row.get(name) for name in settings}
            if found != settings:
                raise typer.BadParameter(
                    f"{path} has a row with {_words(found)}, but this command measures {_words(settings)}. Pass "
                    "another file, or the settings of the rows",
                    param_hint="--rows",
                )

    def has(self, **case: Any) -> bool:
        """Return whether there is a row of a case."""
        return any(case.items() <= row.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, and write the file completely or not at all."""
        self.rows.append(self._settings | row)
        write_text(self._path, "".join(f"{json.dumps(row)}\n" for row in self.rows))


def processor() -> str:
    """Return the name of the processor of this machine: rows of different machines are not compared."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())
