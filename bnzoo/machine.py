"""System calls that differ between Linux, macOS and Windows."""

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

_PROCESSOR = Path("/proc/cpuinfo")
# the names of the instructions on x86 and on ARM
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}


def available_cores() -> int:
    """Return the number of cores that this process may use: on macOS and Windows all cores of the machine."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def may_have_bfloat16() -> bool:
    """Return whether the processor may have instructions for bfloat16: `False` if Linux knows that it has none."""
    try:
        flags = set(_PROCESSOR.read_text().split())
    except OSError:
        return True
    return bool(flags & _BFLOAT16)


def memory() -> float:
    """Return the bytes of the machine's memory: infinity on Windows, where the call is missing."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def process_seconds() -> float:
    """Return the seconds since this process started. Where the system does not tell, they are those of its work."""
    try:
        # after the name in parentheses, the twentieth field is the start in ticks since the start of the machine
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.process_time()


def reserve(path: Path) -> None:
    """Reserve the space of a file with gaps, where Linux can: a full disk would kill the process that fills a mapping.

    Raises:
        OSError: If the disk is full, or the user may not store so much.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise


def regular_file_opener(path: str, flags: int) -> int:
    """Open a regular file that is no link, without waiting for another process: an `opener` for `open`.

    A pipe may have replaced the file since it was checked, and opening a pipe would wait for a writer. Windows has
    neither such pipes nor the flags.

    Raises:
        OSError: If it is a link, or no regular file.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return descriptor


def link_or_copy(source: Path, target: Path) -> None:
    """Make a symbolic link to a file or folder, or a copy where links are not allowed, as on Windows."""
    try:
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError:
        copy: Callable = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, target)
