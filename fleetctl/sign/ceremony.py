"""The ceremony: the first root and targets, and the targets that a release adds to.

Whoever talks to the platform hands over what it answered and publishes what comes back; keys are
made and used here only.
"""

from collections.abc import Mapping
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from fleetctl.sign.folder import Folder
from fleetctl.sign.keys import OfflineKey
from fleetctl.sign.metadata import (
    ROOT_DAYS,
    TARGETS_DAYS,
    Signers,
    make_root,
    make_targets,
    sign,
    signers_of,
    with_release,
)

OFFLINE = ("root", "targets")


def first_metadata(
    folder: Folder,
    status: Mapping[str, Any],
    *,
    root_days: int = ROOT_DAYS,
    targets_days: int = TARGETS_DAYS,
) -> tuple[Metadata[Root], Metadata[Targets]]:
    """Root 1 and empty targets, signed by the folder's keys, which are made where there are none.

    `status` is what the platform says of its own keys.
    """
    folder.create()
    keys = {role: folder.keys(role) or folder.new_keys(role, 1) for role in OFFLINE}
    signers = {role: Signers([public_half(key) for key in held]) for role, held in keys.items()}
    root = make_root(status, signers, days=root_days)
    targets = make_targets(days=targets_days)
    sign(root, keys["root"])
    sign(targets, keys["targets"])
    return root, targets


def release_metadata(
    folder: Folder,
    root: Metadata[Root],
    current: Metadata[Targets],
    release: Mapping[str, Any],
    *,
    days: int = TARGETS_DAYS,
) -> Metadata[Targets]:
    """The next targets, with the files of a release, signed by enough of the root's keys."""
    fresh = with_release(current, release, days=days)
    who = signers_of(root.signed, "targets")
    sign(fresh, folder.keys_for("targets", who.publics, who.threshold))
    return fresh


def public_half(key: OfflineKey) -> str:
    """A key's public half, 64 hex digits."""
    return str(key.public.keyval["public"])
