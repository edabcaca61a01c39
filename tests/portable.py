"""What tests need that not every system has."""

import os
import socket
import sys

import pytest

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="needs the signals and limits of POSIX")


def make_pipe(path):
    """Make a named pipe, or skip the test."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes in folders")
    os.mkfifo(path)


def make_socket(path):
    """Make a socket with a path, which stays when the socket is closed, or skip the test."""
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this system has no sockets in folders")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a path of a socket must be short
