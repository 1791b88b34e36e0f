"""What the operators of an installation see of its organizations: numbers, never their objects."""

from dataclasses import dataclass
from uuid import UUID

from apps.core.tenancy import visiting
from apps.organizations.people import count_members
from apps.organizations.services.quotas import count_use


@dataclass(frozen=True, slots=True)
class Totals:
    """How large an organization is."""

    members: int
    devices: int
    online: int


def totals_of(organization_id: UUID) -> Totals:
    """The numbers of one organization, for callers that have settled who may know them."""
    with visiting(organization_id):
        return Totals(
            members=count_members(organization_id),
            devices=count_use(organization_id, "devices"),
            online=count_use(organization_id, "online"),
        )
