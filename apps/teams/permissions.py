"""Rights on teams and their members.

Most can be held on one team only: whoever is administrator in a team manages that team.
"""

from apps.core.authz import ADMINS, AUDITORS, READERS, declare

VIEW_TEAMS = declare(
    "teams.view_teams", "see teams and who is in them", READERS | AUDITORS, per_group=True
)
CREATE_TEAM = declare("teams.create_team", "make teams", ADMINS)
UPDATE_TEAM = declare("teams.update_team", "rename and describe teams", ADMINS, per_group=True)
DELETE_TEAM = declare("teams.delete_team", "delete teams", ADMINS)
ADD_TEAM_MEMBERS = declare(
    "teams.add_team_members", "put members into teams", ADMINS, per_group=True
)
CHANGE_TEAM_ROLE = declare(
    "teams.change_team_role", "change roles in teams", ADMINS, per_group=True
)
REMOVE_TEAM_MEMBER = declare(
    "teams.remove_team_member", "take members out of teams", ADMINS, per_group=True
)
EXPLAIN_ACCESS = declare("teams.explain_access", "see what anybody may do, and why", AUDITORS)
