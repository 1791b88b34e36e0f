"""Writing files so that a power cut at any instant leaves the old or the new bytes, never a mix."""

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from fleetd_agent.failures import StepFailed

BLOCK_BYTES = 1 << 20
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_disk_full(error: OSError) -> bool:
    """True when an operation failed for want of room."""
    return error.errno in DISK_FULL


def as_step_failure(error: OSError, doing: str) -> StepFailed:
    """The failed step that an operating system error amounts to."""
    if is_disk_full(error):
        return StepFailed("not_enough_space", f"no room on the device while {doing}")
    return StepFailed("input_output_error", f"{error.strerror or error} while {doing}")


def sync_folder(folder: Path) -> None:
    """Makes renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder and what is missing above it, so that a power cut does not take it back."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replaces `path` by `content`, durably; on failure the old file stays."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def copy_durably(source: Path, destination: Path, *, mode: int) -> None:
    """Copies to a new file and fsyncs it; nothing is left behind on failure."""
    with suppress(FileNotFoundError):
        destination.unlink()
    try:
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with source.open("rb") as reader, os.fdopen(descriptor, "wb") as writer:
            while block := reader.read(BLOCK_BYTES):
                writer.write(block)
            writer.flush()
            os.fchmod(writer.fileno(), mode)
            os.fsync(writer.fileno())
    except OSError:
        with suppress(OSError):
            destination.unlink()
        raise


def switch_link(link: Path, destination: str) -> None:
    """Points a symbolic link at `destination` in one atomic step."""
    temporary = link.with_name(f".{link.name}.new")
    with suppress(FileNotFoundError):
        temporary.unlink()
    os.symlink(destination, temporary)
    os.replace(temporary, link)
    sync_folder(link.parent)


def remove_file(path: Path) -> None:
    """Removes a file durably; one that is gone already is fine."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, empty where there is no regular file."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
