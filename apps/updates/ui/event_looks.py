"""How entries of a rollout's log look: tone and icon."""

EVENT_LOOKS = {
    "phase_promoted": ("ok", "check"),
    "completed": ("ok", "circle-check"),
    "phase_opened": ("info", "player-play"),
    "started": ("info", "player-play"),
    "resumed": ("info", "player-play"),
    "approved": ("ok", "check"),
    "paused": ("warn", "player-pause"),
    "cancelled": ("warn", "ban"),
    "halted": ("bad", "player-stop"),
    "phase_halted": ("bad", "player-stop"),
    "rejected": ("warn", "arrow-back-up"),
    "excluded": ("warn", "player-play"),
    "phase_approved": ("ok", "check"),
    "joined": ("info", "plus"),
    "closed": ("warn", "lock"),
    "superseded": ("warn", "versions"),
    "rollback_started": ("warn", "arrow-back-up"),
    "rollback_halted": ("bad", "player-stop"),
    "rolled_back": ("ok", "arrow-back-up"),
}


def look_of(type_: str) -> tuple[str, str]:
    """The tone and the icon of an entry; a plain one for what has none."""
    return EVENT_LOOKS.get(type_, ("quiet", "activity"))
