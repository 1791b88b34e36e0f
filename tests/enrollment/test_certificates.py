"""Certificates: who is behind one, renewing it, revoking it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from cryptography import x509

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.devices.errors import DeviceIsDecommissioned
from apps.devices.services.devices import decommission_device, quarantine_device
from apps.enrollment.domain import ca
from apps.enrollment.errors import CertificateExpired, CertificateRevoked, CertificateUnknown
from apps.enrollment.models import Certificate
from apps.enrollment.selectors import device_actor, list_refused_serials
from apps.enrollment.services import certificates
from apps.enrollment.services.enroll import enroll_device
from apps.enrollment.types import EnrollmentResult
from apps.events.services.relay import relay_outbox
from tests.enrollment.conftest import CALL, Machine, csr
from tests.factories import Cast

Enrolled = tuple[Machine, EnrollmentResult]


@pytest.fixture
def enrolled(new_token: Callable[..., Any]) -> Enrolled:
    machine = Machine()
    return machine, enroll_device(CALL, machine.request(new_token().secret))


def shown(chain_pem: str) -> ca.Presented:
    """What a gateway reads from the peer's certificate."""
    found = ca.presented(chain_pem.encode())
    assert found
    return found


def authenticate(chain_pem: str) -> Any:
    peer = shown(chain_pem)
    return certificates.authenticate_device(peer.spiffe_id, peer.serial)


def renew(result: EnrollmentResult, csr_pem: str) -> Any:
    actor = device_actor(result.organization_id, result.device_id, CALL)
    with tenant(result.organization_id):
        return certificates.renew_certificate(actor, csr_pem)


def travel(by: timedelta) -> Any:
    return time_machine.travel(clock.now() + by, tick=False)


def test_a_certificate_says_which_device_it_is(acme: Cast, enrolled: Enrolled) -> None:
    identity = authenticate(enrolled[1].chain_pem)
    assert (identity.device_id, identity.organization_id) == (enrolled[1].device_id, acme.id)
    assert identity.lifecycle == "active"
    assert isinstance(identity.not_after, datetime)


@pytest.mark.parametrize("kind", ["device", "organization", "installation", "serial", "form"])
def test_nothing_but_what_was_issued_is_believed(
    globex: Cast, enrolled: Enrolled, kind: str
) -> None:
    peer = shown(enrolled[1].chain_pem)
    identity = ca.Identity.parse(peer.spiffe_id)
    assert identity
    spiffe_id, serial = {
        "device": (peer.spiffe_id.replace(str(identity.device_id), str(uuid7())), peer.serial),
        "organization": (
            peer.spiffe_id.replace(str(identity.organization_id), str(globex.id)),
            peer.serial,
        ),
        "installation": (peer.spiffe_id.replace(identity.installation_id, "other"), peer.serial),
        "serial": (peer.spiffe_id, "abc"),
        "form": (peer.spiffe_id + "/", peer.serial),
    }[kind]
    with pytest.raises(CertificateUnknown):
        certificates.authenticate_device(spiffe_id, serial)


def test_many_are_recognized_at_once_with_one_query(
    acme: Cast,
    globex: Cast,
    enrolled: Enrolled,
    new_token: Callable[..., Any],
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    other = enroll_device(CALL, Machine("other").request(new_token().secret))
    peers = [shown(chain) for chain in (enrolled[1].chain_pem, other.chain_pem)]
    asked = [(p.spiffe_id, p.serial) for p in peers]
    asked.append((peers[0].spiffe_id, peers[1].serial))
    with tenant(acme.id):
        certificates.authenticate_devices(acme.id, asked)
        with django_assert_num_queries(1):
            answers = certificates.authenticate_devices(acme.id, asked)
    found = [getattr(a, "device_id", None) or a.code for a in answers]  # type: ignore[union-attr]
    assert found == [enrolled[1].device_id, other.device_id, "certificate_unknown"]
    with tenant(globex.id):
        answers = certificates.authenticate_devices(globex.id, asked)
    assert {a.code for a in answers} == {"certificate_unknown"}  # type: ignore[union-attr]


def test_a_certificate_ends(enrolled: Enrolled) -> None:
    with travel(timedelta(days=31)), pytest.raises(CertificateExpired):
        authenticate(enrolled[1].chain_pem)


def test_the_old_certificate_works_until_the_new_one_is_used(enrolled: Enrolled) -> None:
    old = enrolled[1].chain_pem
    authenticate(old)
    with travel(timedelta(days=20)):
        new = renew(enrolled[1], csr()).chain_pem
        authenticate(old)
        authenticate(new)
    with travel(timedelta(days=20, minutes=2)):
        authenticate(new)
        with pytest.raises(CertificateRevoked):
            authenticate(old)


def test_renewing_with_the_same_new_key_answers_the_same(acme: Cast, enrolled: Enrolled) -> None:
    request = csr(Machine().key)
    with travel(timedelta(days=20)):
        first = renew(enrolled[1], request)
        assert renew(enrolled[1], request) == first
    with tenant(acme.id):
        assert Certificate.objects.for_org(acme.id).count() == 2


def test_renewing_with_the_old_key_gives_a_later_end(enrolled: Enrolled) -> None:
    machine, result = enrolled
    with travel(timedelta(days=20)):
        renewed = renew(result, csr(machine.key))
        assert renewed.not_after > clock.now() + timedelta(days=29)


def test_renewing_is_audited_as_the_device(acme: Cast, enrolled: Enrolled) -> None:
    renew(enrolled[1], csr())
    with tenant(acme.id):
        entry = AuditEntry.objects.for_org(acme.id).order_by("-sequence").first()
    assert entry.action == "enrollment.renew_certificate"
    assert (entry.actor_kind, entry.actor_id) == ("device", enrolled[1].device_id)


def test_a_device_in_quarantine_keeps_and_renews_its_identity(
    erin: Actor, enrolled: Enrolled
) -> None:
    with tenant(erin.organization_id):
        quarantine_device(erin, enrolled[1].device_id, reason="odd traffic")
    assert authenticate(enrolled[1].chain_pem).lifecycle == "quarantined"
    assert renew(enrolled[1], csr()).chain_pem


def test_a_decommissioned_device_is_refused_at_once(
    acme: Cast, erin: Actor, enrolled: Enrolled
) -> None:
    with tenant(acme.id):
        decommission_device(erin, enrolled[1].device_id, reason="")
    with pytest.raises(DeviceIsDecommissioned):
        authenticate(enrolled[1].chain_pem)
    with pytest.raises(DeviceIsDecommissioned):
        renew(enrolled[1], csr())
    serial = shown(enrolled[1].chain_pem).serial
    with tenant(acme.id):
        assert list_refused_serials(acme.id, [serial]) == {serial}


def test_decommissioning_revokes_certificates_and_tells_gateways(
    acme: Cast,
    erin: Actor,
    enrolled: Enrolled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        certificates,
        "notify_gateways",
        lambda kind, **fields: told.append({"kind": kind, **fields}),
    )
    with tenant(acme.id):
        decommission_device(erin, enrolled[1].device_id, reason="")
        for _ in range(2):  # at least once: a second delivery changes nothing
            relay_outbox(system_actor(acme.id))
        rows = Certificate.objects.for_org(acme.id)
        assert [c.revocation_reason for c in rows] == ["decommissioned"]
    assert told == [
        {"kind": "revoked", "device_id": enrolled[1].device_id, "organization_id": acme.id}
    ]


def test_revoking_ends_all_certificates_of_a_device(
    acme: Cast, erin: Actor, enrolled: Enrolled
) -> None:
    renew(enrolled[1], csr())
    with tenant(acme.id):
        assert certificates.revoke_certificates(erin, enrolled[1].device_id, reason="stolen") == 2
        assert certificates.revoke_certificates(erin, enrolled[1].device_id, reason="stolen") == 0
        entries = AuditEntry.objects.for_org(acme.id)
        assert entries.filter(action="enrollment.revoke_certificates").count() == 1
    with pytest.raises(CertificateRevoked):
        authenticate(enrolled[1].chain_pem)


def test_revoking_needs_the_right(acme: Cast, bob: Actor, enrolled: Enrolled) -> None:
    with tenant(acme.id), pytest.raises(PermissionDenied):
        certificates.revoke_certificates(bob, enrolled[1].device_id, reason="")


def test_certificates_of_another_organization_are_not_found(
    globex: Cast, charlie: Actor, enrolled: Enrolled
) -> None:
    with tenant(globex.id), pytest.raises(NotFound):
        certificates.revoke_certificates(charlie, enrolled[1].device_id, reason="")


def test_only_a_device_renews(acme: Cast, alice: Actor, enrolled: Enrolled) -> None:
    with tenant(acme.id), pytest.raises(PermissionDenied):
        certificates.renew_certificate(alice, csr())


def test_a_leaf_cannot_sign(enrolled: Enrolled) -> None:
    leaf = x509.load_pem_x509_certificates(enrolled[1].chain_pem.encode())[0]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert not usage.key_cert_sign
