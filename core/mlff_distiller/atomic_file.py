"""Write to the disk: folders, and files in one step, so that a full disk or a kill never leaves half of one; and one process
at a time in a folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from mlff_distiller.errors import ConfigError, OutputError


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        OutputError: A file of that name, no permission, ...
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: expected a folder to write to: {error.strerror or error}") from None


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """`make_folder`; a folder that was not there before goes again if the work inside fails and has written nothing.

    Raises:
        OutputError: See `make_folder`.
    """
    was_there = path.exists()
    make_folder(path)
    try:
        yield
    except BaseException:
        if not was_there:
            with suppress(OSError):  # there is something in it
                path.rmdir()
        raise


def lock_folder(folder: Path) -> AcquireReturnProxy:
    """Keep other processes out of a folder until the result, a context, is left or this process ends, however it ends.

    Raises:
        ConfigError: Another process is in it.
        OutputError: The folder cannot be written to.
    """
    try:
        return FileLock(folder / ".lock").acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"another process is at work in {folder}; wait until it has ended, or choose another output"
        ) from None
    except OSError as error:
        raise OutputError(f"{folder}: expected a folder to write to: {error.strerror or error}") from None


def replace_file(path: str | os.PathLike[str], chunks: Iterable[bytes | memoryview]) -> None:
    """Write ``chunks`` to ``path``: all of them, or, if anything fails, nothing.

    The bytes go to a hidden temporary file in the same folder, reach the disk, and then take the name. Until
    that moment an older file of the name stays as it was. A symbolic link is followed.

    Raises:
        OutputError: The folder does not exist, the disk is full, no permission, ...
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.writelines(chunks)
            stream.flush()
            os.fsync(stream.fileno())
        rename_file(temporary, target)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def rename_file(temporary: Path, target: Path) -> None:
    """Give a finished file its name, for good.

    Raises:
        OutputError: There is a folder of that name, no permission, ...
    """
    try:
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _not_written(target, error) from error


def _not_written(path: str | os.PathLike[str], error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written: {error.strerror or error}. Check that the folder exists and may be "
        "written to, and that the disk has room. An older file of that name is as it was."
    )


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too: before, a power cut could bring the older file back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
