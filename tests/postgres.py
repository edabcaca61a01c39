"""A real PostgreSQL for tests, on loopback, with its data in a temporary folder."""

import contextlib
import itertools
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

USER = "bnzoo"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Data need not survive a crash of the machine. Commits must survive a stop of the server: synchronous_commit is on.
    "fsync": "off",
    "full_page_writes": "off",
}


class Server:
    """A PostgreSQL server with one user, who needs no password, and one empty database.

    Args:
        binaries: The folder with `initdb`, `pg_ctl` and `createdb`.
    """

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._account = account()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.data, self._log = self._folder / "data", self._folder / "log"
        try:
            if self._account:
                shutil.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
            self._call("initdb", f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def url(self) -> str:
        """The URL of the initial database."""
        return self._url("postgres")

    def new_database(self) -> str:
        """Create an empty database, and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._call("createdb", "--host=127.0.0.1", f"--port={self.port}", f"--username={USER}", name)
        return self._url(name)

    def start(self) -> None:
        """Start the server with the same port and data as before, and wait until it answers."""
        options = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        self._call("pg_ctl", "start", "--wait", f"--log={self._log}", f"--options=-p {self.port} {options}")

    def stop(self) -> None:
        """Stop the server and drop every connection, like a crash. The data stays."""
        self._call("pg_ctl", "stop", "--wait", "--mode=immediate")

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Stop the server, and start it again at the end of the block, also after an error."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def remove(self) -> None:
        """Stop the server if it runs, and delete its data."""
        try:
            if (self.data / "postmaster.pid").exists():
                self.stop()
        finally:
            shutil.rmtree(self._folder)

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def _call(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as the user of the server, in a folder that this user can access."""
        entry = self._account
        ended = subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self._folder,
            env=os.environ | {"PGDATA": str(self.data), "LC_ALL": "C"},
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if ended.returncode:
            log = self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""
            raise RuntimeError(f"{program} ended with status {ended.returncode}:\n{ended.stdout}{log}")


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs: that of `initdb` on the PATH, or the newest of Debian's folders."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def account() -> Any | None:
    """Return the account to run the server as, if the current user is root, which PostgreSQL rejects."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd  # not available on Windows

    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def free_port() -> int:
    """Return a free port outside the range of client ports. A client that retries could otherwise occupy it."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with socket.socket() as server, contextlib.suppress(OSError):
            server.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port in 100 of 15000 to 31999")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A `Server` for all tests of a session. Each test takes a `new_database()` and leaves the server running."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    folder = binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = Server(folder)
    try:
        yield server
    finally:
        server.remove()
