"""The end of every command: its exit status, and one line on stderr for an error."""

from bnzoo.cli import streams
from bnzoo.cli.console import CLOSED, DEBUG, FAULT, INTERRUPTED, MISTAKE, UserError, debugging, message_of, say

_LONG = 500  # the number of characters of a message that are shown


def run(arguments: list[str]) -> int:
    """Run a command.

    Args:
        arguments: List of strings, the command line without the name of the program.

    Returns:
        The exit status. The meaning of each is in `bnzoo.cli.console.STATUSES`.
    """
    streams.ensure_open()
    token = debugging.set(DEBUG in arguments)
    try:
        status = _command([argument for argument in arguments if argument != DEBUG])
        streams.flush()
        return status
    except SystemExit:  # Rich raises it for a closed output
        streams.discard()
        return CLOSED
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError) and streams.is_closed_by_reader():
            streams.discard()
            return CLOSED
        status = _report(error)
        streams.end()
        return status
    finally:
        debugging.reset(token)


def _command(arguments: list[str]) -> int:
    import typer

    from bnzoo.cli.app import app

    command = typer.main.get_command(app)
    try:
        # not `app(...)`, which handles interrupts and closed pipes in another way
        with command.make_context("bnzoo", arguments) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:  # a mistake in the command line
        if not (message := error.format_message()).strip():
            return MISTAKE  # typer has shown the help
        raise UserError(message) from error
    return 0


def _report(error: BaseException) -> int:
    """Print the message for an error, and return the exit status."""
    if debugging.get():
        import traceback

        say("".join(traceback.format_exception(error)), lines=True)
    if isinstance(error, UserError):
        return say(str(error))
    if isinstance(error, KeyboardInterrupt):
        say("stopped")
        return INTERRUPTED
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return say(f"There is not enough memory: {_short(error)}. Use a smaller network, smaller batches or less data")
    if isinstance(error, OSError | ImportError):
        return say(message_of(error))
    say(f"{type(error).__name__}: {_short(error)}. This is a bug in bnzoo. {_request()}")
    return FAULT


def _short(error: BaseException) -> str:
    words = " ".join(str(error).split()).rstrip(".")
    return words if len(words) <= _LONG else f"{words[:_LONG]}..."


def _request() -> str:
    """Return the text that asks the user to report a bug."""
    from importlib import metadata

    urls = [url.split(", ", 1) for url in metadata.metadata("bnzoo").get_all("Project-URL") or ()]
    where = next((f" at {url}" for label, url in urls if label.lower() in ("issues", "bug tracker")), "")
    return f"Please report it{where}. Run the command again with {DEBUG} for the traceback"
