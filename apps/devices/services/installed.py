"""What is installed on devices, as deployments that ended well say."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.actors import Actor
from apps.core.authz import require
from apps.devices.permissions import REPORT_STATE

# The ids are sorted, so `width_bucket` finds a device's place in the arrays by halving.
_MERGE = """
    UPDATE devices_device SET installed = installed
        || (%(installed)s::jsonb[])[width_bucket(id, %(ids)s::uuid[])]
    WHERE organization_id = %(organization_id)s AND id = ANY(%(ids)s::uuid[])
"""


def record_installed(actor: Actor, installed: Mapping[UUID, Mapping[str, str]]) -> None:
    """Notes, for many devices at once, the versions of components that were installed.

    For the platform itself. Components that are not named keep their versions; devices of other
    organizations are passed over. Repeating it changes nothing.
    """
    require(actor, REPORT_STATE)
    if not installed:
        return
    ids = sorted(installed)
    parameters: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "ids": ids,
        "installed": [json.dumps(dict(installed[id_])) for id_ in ids],
    }
    with connection.cursor() as cursor:
        cursor.execute(_MERGE, parameters)
