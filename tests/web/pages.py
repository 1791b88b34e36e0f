"""A fleet with something of everything, for tests that look at pages."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from apps.core import clock
from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.devices.domain.states import Connectivity, Lifecycle
from apps.devices.models import DeviceGroup
from apps.enrollment.models import EnrollmentToken
from apps.enrollment.services.tokens import create_enrollment_token
from apps.updates.models import Release, Rollout
from apps.updates.services.rollouts import start_rollout
from tests import factories
from tests.updates.conftest import make_release, make_rollout

HOSTILE = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Furnished:
    """Ids of what an organization holds."""

    device_id: UUID
    group: DeviceGroup
    token: EnrollmentToken
    release: Release
    rollout: Rollout
    draft: Rollout

    def addresses(self) -> list[str]:
        """Every page of the UI that shows something, fragments included."""
        one = {
            f"/devices/{self.device_id}": "body",
            f"/device-groups/{self.group.id}": "list",
            f"/enrollment-tokens/{self.token.id}": "body",
            f"/rollouts/{self.rollout.id}": "body",
            f"/rollouts/{self.draft.id}": "body",
        }
        many = {"/": "body", "/devices": "list", "/rollouts": "list", "/audit": "list"}
        plain = ["/device-groups", "/enrollment-tokens", "/devices/add", "/devices/add?many=1"]
        plain += ["/artifacts", "/artifacts/upload", "/releases", "/releases/new"]
        plain += [f"/releases/{self.release.id}", "/releases/new/component"]
        plain += ["/rollouts/new", "/rollouts/new/preview"]
        plain += [f"/device-groups/{self.group.id}/candidates"]
        live = {**one, **many}
        return [*plain, *live, *(f"{url}?fragment={name}" for url, name in live.items())]


def furnish(actor: Actor) -> Furnished:
    """Devices in each state with hostile names, a token, a release, two rollouts."""
    organization_id = actor.organization_id
    at = clock.now()
    late = {**factories.online(), "offline_at": at - timedelta(minutes=1)}
    states = [factories.online(), late, {"connectivity": Connectivity.NEVER_SEEN.value}]
    with tenant(organization_id):
        devices = [
            factories.device(organization_id, f"{HOSTILE} {number}", state=state, tags=["lab"])
            for number, state in enumerate(states)
        ]
        for lifecycle in (Lifecycle.PENDING, Lifecycle.QUARANTINED, Lifecycle.DECOMMISSIONED):
            factories.device(organization_id, lifecycle.value, lifecycle=lifecycle)
        group = factories.group(organization_id, HOSTILE, devices[0])
        token = create_enrollment_token(actor, name=HOSTILE).token
        release = make_release(actor)
        rollout = start_rollout(actor, make_rollout(actor, release, name=HOSTILE).id)
        draft = make_rollout(actor, release, requires_approval=True, phase_percents=(10, 100))
    return Furnished(devices[0].id, group, token, release, rollout, draft)
