"""Why a device gets a rollout's deployment now, or why not: one answer for everybody who asks.

`explain` is pure. The scheduler's claims and the start of a rollout decide the same in SQL; tests
compare them on random fleets.
"""

ORGANIZATION = "organization"
LIFECYCLE = "lifecycle"
TARGET = "target"
EXCLUDED = "excluded"
NOT_COMPATIBLE = "not_compatible"
ALREADY_INSTALLED = "already_installed"
REQUIRES = "requires"
CONFLICTS = "conflicts"
STEPPING_STONE = "stepping_stone"
PINNED = "pinned"
QUARANTINED = "quarantined"
DEPLOYMENT = "deployment"
OTHER_DEPLOYMENT = "other_deployment"
PHASE_NOT_OPEN = "phase_not_open"
APPROVAL = "approval"
WINDOW_CLOSED = "window_closed"
RATE_LIMIT = "rate_limit"
IN_FLIGHT_LIMIT = "in_flight_limit"
BANDWIDTH = "bandwidth"
OFFLINE = "offline"

# Which reason an obstacle of `domain.compatibility` belongs to.
OBSTACLES = {
    "not_compatible": NOT_COMPATIBLE,
    "requires_not_met": REQUIRES,
    "conflicts_with_installed": CONFLICTS,
    "stepping_stone_skipped": STEPPING_STONE,
}
# Why a start leaves devices of its target out, as a count says it.
LEFT_OUT_WORDS = {
    EXCLUDED: "left out by the plan",
    NOT_COMPATIBLE: "not compatible with the release",
    ALREADY_INSTALLED: "have it installed already",
    REQUIRES: "lack something that the release requires",
    CONFLICTS: "have something installed that the release does not go with",
    STEPPING_STONE: "have to pass through an earlier version first",
    PINNED: "pinned to what they have",
    QUARANTINED: "in quarantine after repeated failures",
}
BUSY_WORDS = "are in another rollout too; the one that goes first is done first"
