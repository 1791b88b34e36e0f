"""How states look: the word, the shape and the tone, once for every page."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Look:
    """A state's word, its icon in the sprite and its tone (ok, info, warn, bad or quiet)."""

    word: str | Promise
    icon: str
    tone: str


CONNECTIVITY: dict[str, str | Promise] = {
    "online": _("Online"),
    "degraded": _("Degraded"),
    "offline": _("Offline"),
    "never_seen": _("Never seen"),
}

LIFECYCLE = {
    "pending": Look(_("Pending approval"), "hourglass", "warn"),
    "active": Look(_("Active"), "circle-check", "ok"),
    "quarantined": Look(_("Quarantined"), "ban", "bad"),
    "decommissioned": Look(_("Decommissioned"), "archive", "quiet"),
}

ROLLOUT = {
    "draft": Look(_("Draft"), "edit", "quiet"),
    "pending_approval": Look(_("Needs approval"), "hourglass", "warn"),
    "scheduled": Look(_("Scheduled"), "clock", "info"),
    "running": Look(_("Running"), "player-play", "info"),
    "paused": Look(_("Paused"), "player-pause", "warn"),
    "halted": Look(_("Halted"), "player-stop", "bad"),
    "rolling_back": Look(_("Rolling back"), "arrow-back-up", "warn"),
    "rolled_back": Look(_("Rolled back"), "arrow-back-up", "bad"),
    "completed": Look(_("Completed"), "circle-check", "ok"),
    "cancelled": Look(_("Cancelled"), "ban", "quiet"),
}

PHASE = {
    "waiting": Look(_("Waiting"), "circle-dashed", "quiet"),
    "open": Look(_("Open"), "player-play", "info"),
    "promoted": Look(_("Promoted"), "circle-check", "ok"),
    "halted": Look(_("Halted"), "player-stop", "bad"),
}

DEPLOYMENT = {
    "waiting": Look(_("Waiting"), "circle-dashed", "quiet"),
    "offered": Look(_("Offered"), "arrow-right", "info"),
    "downloading": Look(_("Downloading"), "download", "info"),
    "downloaded": Look(_("Downloaded"), "download", "info"),
    "installing": Look(_("Installing"), "package", "info"),
    "rebooting": Look(_("Rebooting"), "refresh", "info"),
    "verifying": Look(_("Verifying"), "list-check", "info"),
    "succeeded": Look(_("Succeeded"), "circle-check", "ok"),
    "failed": Look(_("Failed"), "circle-x", "bad"),
    "rolled_back": Look(_("Rolled back"), "arrow-back-up", "bad"),
    "timed_out": Look(_("Timed out"), "clock", "bad"),
    "cancelled": Look(_("Cancelled"), "ban", "quiet"),
    "skipped": Look(_("Skipped"), "minus", "quiet"),
    "superseded": Look(_("Superseded"), "versions", "quiet"),
}

TOKEN = {
    "usable": Look(_("Usable"), "circle-check", "ok"),
    "used_up": Look(_("Used up"), "minus", "quiet"),
    "expired": Look(_("Expired"), "clock", "quiet"),
    "revoked": Look(_("Revoked"), "ban", "bad"),
}

RELEASE = {
    "draft": Look(_("Draft"), "edit", "quiet"),
    "locked": Look(_("Locked"), "lock", "ok"),
    "deprecated": Look(_("Advised against"), "alert-triangle", "warn"),
    "recalled": Look(_("Recalled"), "ban", "bad"),
}

ORGANIZATION = {
    "active": Look(_("Active"), "circle-check", "ok"),
    "suspended": Look(_("Suspended"), "player-pause", "warn"),
    "deleting": Look(_("Being deleted"), "trash", "bad"),
}

INVITATION = {
    "pending": Look(_("Open"), "hourglass", "info"),
    "accepted": Look(_("Accepted"), "circle-check", "ok"),
    "expired": Look(_("Expired"), "clock", "quiet"),
    "revoked": Look(_("Withdrawn"), "ban", "quiet"),
}

EXPORT = {
    "running": Look(_("Being written"), "loader", "info"),
    "done": Look(_("Done"), "circle-check", "ok"),
    "failed": Look(_("Failed"), "circle-x", "bad"),
}

HOLD = {
    "pinned": Look(_("Pinned"), "lock", "warn"),
    "quarantined": Look(_("Keeps failing"), "ban", "bad"),
}

KINDS: dict[str, dict[str, Look]] = {
    "hold": HOLD,
    "organization": ORGANIZATION,
    "invitation": INVITATION,
    "export": EXPORT,
    "lifecycle": LIFECYCLE,
    "rollout": ROLLOUT,
    "phase": PHASE,
    "deployment": DEPLOYMENT,
    "token": TOKEN,
    "release": RELEASE,
}


def look(kind: str, value: str) -> Look:
    """How a state looks; a state nobody described shows its own name, quietly."""
    return KINDS[kind].get(value) or Look(value.replace("_", " "), "circle", "quiet")


# The first word of an action's verb decides its icon and tone in timelines.
VERBS = {
    "approve": ("check", "ok"),
    "create": ("plus", "info"),
    "add": ("plus", "info"),
    "start": ("player-play", "info"),
    "resume": ("player-play", "info"),
    "pause": ("player-pause", "warn"),
    "quarantine": ("ban", "bad"),
    "pin": ("lock", "warn"),
    "unpin": ("circle-check", "ok"),
    "halt": ("player-stop", "bad"),
    "cancel": ("ban", "warn"),
    "revoke": ("ban", "warn"),
    "delete": ("trash", "warn"),
    "remove": ("minus", "warn"),
    "decommission": ("archive", "warn"),
    "release": ("circle-check", "ok"),
    "complete": ("circle-check", "ok"),
    "enroll": ("plug-connected", "ok"),
    "update": ("edit", "quiet"),
    "rename": ("edit", "quiet"),
    "upload": ("upload", "info"),
    "promote": ("check", "ok"),
    "open": ("player-play", "info"),
    "register": ("plug-connected", "info"),
    "store": ("upload", "info"),
    "submit": ("hourglass", "info"),
    "issue": ("key", "quiet"),
    "renew": ("refresh", "quiet"),
    "sign": ("user", "quiet"),
    "connect": ("plug-connected", "ok"),
    "disconnect": ("wifi-off", "bad"),
}


_DOUBLED = {
    "cancel": "cancelled",
    "submit": "submitted",
    "quit": "quit",
    "set": "set",
    "pin": "pinned",
    "unpin": "unpinned",
}


def action_words(action: str) -> str:
    """An action as what happened: `updates.pause_rollout` is "Paused rollout"."""
    verb, *rest = action.rpartition(".")[2].split("_")
    past = _DOUBLED.get(verb) or (f"{verb}d" if verb.endswith("e") else f"{verb}ed")
    return " ".join([past.capitalize(), *rest])


def verb_look(action: str) -> tuple[str, str]:
    """Icon and tone of an action such as `updates.pause_rollout`."""
    verb = action.rpartition(".")[2].partition("_")[0]
    return VERBS.get(verb, ("activity", "quiet"))
