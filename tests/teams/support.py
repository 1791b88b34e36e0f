"""What tests of teams and rights look at."""

from apps.core.actors import Actor, Call, Source
from apps.core.authz import Role
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_user
from tests import factories

CALL = Call(Source.REST, "192.0.2.1", "request-1")


def person(organization_id: object, email: str, role: Role = Role.MEMBER) -> Membership:
    """Somebody new in an organization."""
    return factories.membership(organization_id, factories.user(email), role)  # type: ignore[arg-type]


def now(member: Membership) -> Actor:
    """The member as a door builds them at this moment."""
    return actor_for_user(member.user, CALL, organization=str(member.organization_id))
