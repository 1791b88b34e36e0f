"""What is left of somebody's rights while an organization is suspended or being deleted."""

SUSPENDED, DELETING = "suspended", "deleting"
OWNER = "owner"
READS = ("view_", "explain_", "export_")
WHILE_DELETING = frozenset(
    {
        "organizations.view_organization",
        "organizations.cancel_organization_deletion",
        "organizations.export_organization",
    }
)


def standstill_of(status: str) -> str:
    """Why nothing can be done in an organization with this status; empty where it is active."""
    return status if status in (SUSPENDED, DELETING) else ""


def rights_left(standstill: str, role: str, names: frozenset[str]) -> frozenset[str]:
    """The permissions among `names` that still hold.

    In a suspended organization owners read; in one that is being deleted they look on, export, and
    can cancel. Nobody else has anything left.
    """
    if not standstill:
        return names
    if role != OWNER:
        return frozenset()
    if standstill == DELETING:
        return names & WHILE_DELETING
    return frozenset(name for name in names if name.partition(".")[2].startswith(READS))
