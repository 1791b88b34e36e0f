"""What can go wrong with teams."""

from apps.core.errors import FleetdError, Kind


class TeamNameTaken(FleetdError):
    kind, code = Kind.CONFLICT, "team_name_taken"
    default_message = "There is a team with this name already."


class TeamOwnsGroups(FleetdError):
    kind, code = Kind.STATE, "team_owns_groups"
    default_message = "The team still owns device groups. Take them from it or delete them first."


class NotAMember(FleetdError):
    kind, code = Kind.STATE, "not_a_member"
    default_message = "Only members of the organization can be given rights in it."
