"""Log files of children stay short without their help."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from fleetd.settings.layout import DataLayout

LONGEST_BYTES = 20 * 1024 * 1024
CHECK_SECONDS = 30.0


async def keep_logs_short(layout: DataLayout) -> None:
    """Moves what is too long aside, one older file for each child."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        with suppress(OSError):
            shorten_logs(layout.logs)


def shorten_logs(folder: Path) -> None:
    """Copies and empties long files: children keep writing to the file they have open."""
    for path in folder.glob("*.log"):
        if path.stat().st_size > LONGEST_BYTES:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            with path.open("r+b") as file:
                file.truncate()
