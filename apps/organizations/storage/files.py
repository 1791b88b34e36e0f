"""Artifacts on the file system of this machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from django.core.files.storage import FileSystemStorage

from apps.organizations.storage import StoredFile


class DurableFileStorage(FileSystemStorage):
    """Django's storage of files, with puts that are whole and survive a power cut."""

    def put(self, source: Path, name: str) -> None:
        """Links and renames: the file appears at its address complete."""
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = source.with_name(f"{source.name}.whole")
        staged.unlink(missing_ok=True)
        staged.hardlink_to(source)
        staged.chmod(0o440)
        staged.replace(target)
        staged.unlink(missing_ok=True)  # two names of one file: renaming did nothing
        for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
            _sync_folder(folder)

    def open_range(self, name: str, first: int, length: int) -> BinaryIO:
        """The file itself, at the place."""
        file = Path(self.path(name)).open("rb", buffering=0)
        file.seek(first)
        return file

    def list_files(self, folder: str) -> Iterator[StoredFile]:
        """What lies there now; what is removed meanwhile is left out."""
        for path in Path(self.path(folder)).glob("??/??/*"):
            with suppress(FileNotFoundError):
                found = path.stat()
                name = str(path.relative_to(self.location))
                yield StoredFile(name, found.st_size, found.st_mtime)

    def remove_all(self, folder: str) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path(folder), ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
