"""Enrollment tokens: making, revoking, reading, and what the waiting panel shows."""

from datetime import timedelta
from typing import Any

import pytest

from apps.accounts.domain import secrets
from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import FleetdError, InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.enrollment.models import EnrollmentToken
from apps.enrollment.selectors import (
    get_enrollment_progress,
    get_enrollment_token,
    list_enrollment_tokens,
    list_enrollments,
)
from apps.enrollment.services.enroll import enroll_device
from apps.enrollment.services.tokens import (
    create_enrollment_token,
    note_installer_fetch,
    revoke_enrollment_token,
)
from apps.events.models import OutboxEvent
from tests.enrollment.conftest import CALL, Machine
from tests.factories import Cast

in_acme = pytest.mark.usefixtures("in_acme")


@in_acme
def test_a_token_is_made_and_its_secret_is_stored_nowhere(acme: Cast, erin: Actor) -> None:
    made = create_enrollment_token(erin, name=" line 1 ", max_uses=3, tags=["Site=Berlin"])
    assert secrets.is_well_formed(made.secret, secrets.ENROLLMENT_TOKEN)
    stored = EnrollmentToken.objects.for_org(acme.id).get()
    assert (stored.name, stored.uses_left, stored.tags) == ("line 1", 3, ["site=berlin"])
    assert stored.expires_at - stored.created_at == timedelta(hours=24)
    assert made.secret not in str(list(EnrollmentToken.objects.for_org(acme.id).values()))
    entries = str(list(AuditEntry.objects.for_org(acme.id).values("changes", "object_label")))
    assert made.secret not in entries
    assert "enrollment.token.created.v1" in OutboxEvent.objects.for_org(acme.id).values_list(
        "type", flat=True
    )


@in_acme
@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\x00b"},
        {"max_uses": 0},
        {"max_uses": 10**9},
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(days=400)},
        {"tags": ["no spaces"]},
    ],
)
def test_bad_values_are_refused_and_nothing_is_stored(
    acme: Cast, erin: Actor, values: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as failure:
        create_enrollment_token(erin, **{"name": "line 1", **values})
    assert failure.value.fields[0].field in values
    assert not EnrollmentToken.objects.for_org(acme.id).exists()


@in_acme
def test_a_group_of_another_organization_is_not_found(erin: Actor, globex: Cast) -> None:
    with pytest.raises(NotFound):
        create_enrollment_token(erin, name="line 1", group_ids=[globex.group.id])


@in_acme
def test_viewers_cannot_make_or_revoke_tokens(erin: Actor, bob: Actor) -> None:
    token = create_enrollment_token(erin, name="line 1").token
    with pytest.raises(PermissionDenied):
        create_enrollment_token(bob, name="line 1")
    with pytest.raises(PermissionDenied):
        revoke_enrollment_token(bob, token.id)


@in_acme
def test_revoking_twice_is_one_act(acme: Cast, erin: Actor) -> None:
    token = create_enrollment_token(erin, name="line 1").token
    first = revoke_enrollment_token(erin, token.id)
    assert revoke_enrollment_token(erin, token.id).revoked_at == first.revoked_at
    entries = AuditEntry.objects.for_org(acme.id)
    assert entries.filter(action="enrollment.revoke_enrollment_token").count() == 1


def test_tokens_of_another_organization_are_not_found(
    acme: Cast, globex: Cast, erin: Actor, charlie: Actor
) -> None:
    with tenant(acme.id):
        token = create_enrollment_token(erin, name="line 1").token
    with tenant(globex.id):
        for token_id in (token.id, uuid7()):
            with pytest.raises(NotFound):
                revoke_enrollment_token(charlie, token_id)
            with pytest.raises(NotFound):
                get_enrollment_token(charlie, token_id)
        assert list_enrollment_tokens(charlie, PageRequest()).items == []


def test_progress_shows_the_installer_the_refusal_and_the_device(
    acme: Cast, bob: Actor, erin: Actor
) -> None:
    with tenant(acme.id):
        made = create_enrollment_token(erin, name="line 1")
    assert note_installer_fetch(None, made.token.id, address="192.0.2.9")
    assert not note_installer_fetch(None, made.token.id, address="192.0.2.66")  # at once again
    with tenant(acme.id):
        waiting = get_enrollment_progress(bob, made.token.id)
    assert waiting.installer_fetched_at is not None
    assert waiting.installer_address == "192.0.2.9"
    assert waiting.is_usable
    assert (waiting.devices, waiting.refusal) == ([], None)

    with pytest.raises(FleetdError):
        enroll_device(CALL, Machine().request(made.secret, csr_pem=""))
    with tenant(acme.id):
        refused = get_enrollment_progress(bob, made.token.id)
    assert refused.refusal is not None
    assert refused.refusal.outcome == "csr_invalid"

    result = enroll_device(CALL, Machine().request(made.secret))
    with tenant(acme.id):
        done = get_enrollment_progress(bob, made.token.id)
        listed = list_enrollments(bob, made.token.id, PageRequest())
    assert [d.id for d in done.devices] == [result.device_id]
    assert done.devices[0].state.connectivity == "never_seen"
    assert done.refusal is None
    assert not done.is_usable
    assert {e.outcome for e in listed.items} == {"accepted", "csr_invalid"}


def test_fetching_the_installer_for_an_unknown_or_revoked_token_notes_nothing(
    acme: Cast, erin: Actor
) -> None:
    assert not note_installer_fetch(None, uuid7(), address="192.0.2.9")
    with tenant(acme.id):
        token = create_enrollment_token(erin, name="line 1").token
        revoke_enrollment_token(erin, token.id)
    assert not note_installer_fetch(None, token.id, address="192.0.2.9")


@in_acme
def test_a_token_that_has_expired_is_not_usable(acme: Cast, erin: Actor) -> None:
    token = create_enrollment_token(erin, name="line 1").token
    EnrollmentToken.objects.for_org(acme.id).update(expires_at=clock.now())
    assert not get_enrollment_progress(erin, token.id).is_usable
