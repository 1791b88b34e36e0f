"""A furnished organization and the public operations, for tests of other things than isolation.

Isolation itself is walked by `fleetd.isolation`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from apps.accounts.services.api_keys import create_api_key
from apps.audit.models import AuditEntry
from apps.core.guards import tenant_models
from apps.core.rest.views import OrgAPIView
from apps.core.tenancy import tenant
from apps.enrollment.services.tokens import create_enrollment_token
from apps.organizations.models import Membership
from apps.updates.models import Deployment
from apps.updates.services.rollouts import start_rollout
from fleetd.isolation.rpc_calls import methods
from fleetd.rpc.authentication import Credentials
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout

API = "api/v1/"
NOBODY = "019a0000-0000-7000-8000-000000000000"

# What an operation needs besides ids to get as far as looking at them.
BODIES: dict[str, dict[str, Any]] = {
    "create_api_key": {"name": "k"},
    "create_device_group": {"name": "made here"},
    "create_enrollment_token": {"name": "made here"},
    "create_release": {
        "name": "made",
        "version": "1.0.0",
        "components": [{"name": "c", "kind": "script", "artifact_id": ""}],
    },
    "create_rollout": {"name": "made here", "release_id": "", "target": {}},
    "quarantine_device": {"reason": "r"},
    "decommission_device": {"reason": "r"},
    "update_organization": {"name": "made here"},
    "update_device": {"name": "made here"},
    "approve_rollout": {"plan_hash": "0" * 64},
    "add_devices_to_group": {"device_ids": [NOBODY]},
    "remove_devices_from_group": {"device_ids": [NOBODY]},
}


METHODS = [m for m in methods() if m.service.credentials is Credentials.PUBLIC]


@dataclass(frozen=True)
class Route:
    """One method of one REST address."""

    method: str
    path: str
    handler: Any

    @property
    def parameters(self) -> list[str]:
        """The ids in its path."""
        return [part.split(">")[0] for part in self.path.split("<ident:")[1:]]

    def at(self, **ids: str) -> str:
        """The address with these ids, below /api/v1/."""
        path = self.path.removeprefix(API)
        for name, value in ids.items():
            path = path.replace(f"<ident:{name}>", value)
        return path

    def __str__(self) -> str:
        return f"{self.method} /{self.path}"


def routes() -> list[Route]:
    """Every method of every REST address; an address with a slash at its end is its twin."""
    return [
        Route(method.upper(), path, getattr(view, method))
        for path, view in _views(get_resolver().url_patterns, "")
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(view, method) and not path.endswith("/")
    ]


def _views(patterns: Any, prefix: str) -> Iterator[tuple[str, type[OrgAPIView]]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None)
            if view is not None and issubclass(view, OrgAPIView):
                yield path, view


def furnish(cast: Cast, member: Membership) -> dict[str, str]:
    """Makes one of everything in an organization; the ids by kind."""
    actor = factories.actor(member)
    with tenant(cast.id):
        release = make_release(actor, "1.0.0")
        running = start_rollout(actor, make_rollout(actor, release).id)
        ids = {
            "organization": cast.id,
            "membership": member.id,
            "user": member.user_id,
            "device": cast.device.id,
            "group": cast.group.id,
            "token": create_enrollment_token(actor, name="lab").token.id,
            "api_key": create_api_key(actor, name="spare").api_key.id,
            "artifact": release.components.all()[0].artifact_id,
            "release": release.id,
            "draft": make_rollout(actor, make_release(actor, "2.0.0", b"other\n")).id,
            "rollout": running.id,
            "deployment": Deployment.objects.for_org(cast.id).order_by("id")[0].id,
            "audit_entry": AuditEntry.objects.for_org(cast.id).order_by("id")[0].id,
        }
    return {kind: str(value) for kind, value in ids.items()}


def checksums(organization_id: Any) -> dict[str, str]:
    """A checksum over the organization's rows of every tenant table, committed or not.

    When a key was last used is left out: each minute of use notes it, whatever is asked for.
    """
    from django.db import connection

    found = {}
    with tenant(organization_id), connection.cursor() as cursor:
        for model in tenant_models():
            table = model._meta.db_table
            cursor.execute(
                "SELECT md5(coalesce(string_agg(kept::text, '|' ORDER BY kept::text), ''))"
                " FROM (SELECT to_jsonb(t) - 'last_used_at' AS kept"
                f' FROM "{table}" t WHERE organization_id = %s) AS rows',
                [organization_id],
            )
            found[table] = cursor.fetchone()[0]
    return found
