"""What is installed on devices, as deployments that ended well say."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.core.authz import require
from apps.devices.permissions import REPORT_STATE

_MERGE = """
    UPDATE devices_device AS device SET installed = device.installed || new.installed
    FROM (
        SELECT locked.id, incoming.installed
        FROM unnest(%(ids)s::uuid[], %(installed)s::jsonb[]) AS incoming (id, installed)
        JOIN devices_device AS locked
          ON locked.id = incoming.id AND locked.organization_id = %(organization_id)s
        ORDER BY locked.id
        FOR NO KEY UPDATE OF locked
    ) AS new
    WHERE device.id = new.id AND device.organization_id = %(organization_id)s
"""


def record_installed(actor: Actor, installed: Mapping[UUID, Mapping[str, str]]) -> None:
    """Notes, for many devices at once, the versions of components that were installed.

    For the platform itself. Components that are not named keep their versions; devices of other
    organizations are passed over. Repeating it changes nothing.
    """
    require(actor, REPORT_STATE)
    if not installed:
        return
    parameters: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "ids": list(installed),
        "installed": [json.dumps(dict(versions)) for versions in installed.values()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_MERGE, parameters)
