"""Firmware: two slots, one of them in use."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

from fleetd_agent.failures import StepFailed
from fleetd_agent.files import (
    as_step_failure,
    copy_durably,
    make_folder,
    remove_file,
    sha256_of,
    switch_link,
    sync_folder,
)
from fleetd_agent.handlers.options import check_options
from fleetd_agent.messages import Component
from fleetd_agent.ports import Record, Undone, Work
from fleetd_agent.threads import to_the_end

MODE_MASK = 0o7777
SLOT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
SLOTS = ("a", "b")


class FirmwareHandler:
    """Writes an image to the slot that is not in use and switches to it by a symbolic link.

    A slot named `main` is the folder `slots/main` with `a/image`, `b/image` and `active`, a link to
    one of them. The slot in use is never written to.
    """

    is_resumable = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, component: Component) -> None:
        """The target is the name of a slot, not a path."""
        check_options(component)
        if not SLOT_PATTERN.fullmatch(component.target):
            raise StepFailed("target_refused", f"not the name of a slot: {component.target!r}")

    async def prepare(self, work: Work) -> Record:
        """Chooses the slot that is not in use."""
        return self._choose(work)

    def _choose(self, work: Work) -> Record:
        slot = self._folder / work.component.target
        active = read_link(slot / "active")
        return {
            "slot": str(slot),
            "previous": active,
            "next": SLOTS[1] if active == SLOTS[0] else SLOTS[0],
        }

    async def stage(self, work: Work, record: Record) -> None:
        """Fills the idle slot."""
        try:
            await to_the_end(self._fill, work, record)
        except OSError as error:
            raise as_step_failure(error, f"staging {work.component.name}") from error

    async def apply(self, work: Work, record: Record) -> None:
        """Fills the idle slot where staging did not, then switches."""
        try:
            await to_the_end(self._fill, work, record)
            await to_the_end(self._switch, record)
        except OSError as error:
            raise as_step_failure(error, f"installing {work.component.name}") from error

    def _fill(self, work: Work, record: Record) -> None:
        slot = Path(record["slot"])
        side = slot / record["next"]
        make_folder(side)
        image = side / "image"
        if sha256_of(image) != work.component.sha256:
            new = side / ".image.new"
            copy_durably(work.file, new, mode=work.component.file_mode & MODE_MASK or 0o644)
            os.replace(new, image)
            sync_folder(side)

    def _switch(self, record: Record) -> None:
        slot = Path(record["slot"])
        if read_link(slot / "active") != record["next"]:
            switch_link(slot / "active", record["next"])

    async def verify(self, work: Work, record: Record) -> None:
        """The active slot holds the image of the release."""
        image = Path(record["slot"]) / "active" / "image"
        if await asyncio.to_thread(sha256_of, image) != work.component.sha256:
            raise StepFailed("verify_failed", "the active slot is not what was installed")

    async def roll_back(self, work: Work, record: Record) -> Undone:
        """Switches back to the slot that was in use before."""
        link = Path(record["slot"]) / "active"
        if read_link(link) == record["previous"]:
            return Undone.NOTHING
        if record["previous"]:
            switch_link(link, record["previous"])
        else:
            remove_file(link)
        return Undone.RESTORED

    def commit(self, record: Record) -> None:
        """The other slot keeps the previous image."""

    def environment(self, work: Work, record: Record | None) -> Mapping[str, str]:
        """FLEETD_SLOT: the folder of the slot that is filled."""
        side = record["next"] if record else self._choose(work)["next"]
        return {"FLEETD_SLOT": str(self._folder / work.component.target / side)}


def read_link(link: Path) -> str:
    """Where a symbolic link points, empty where there is none."""
    try:
        return os.readlink(link)
    except OSError:
        return ""
