"""A device joins."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from apps.accounts.domain.secrets import ENROLLMENT_TOKEN, new_secret
from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import FleetdError, TooMany
from apps.core.tenancy import tenant
from apps.devices.models import Device, GroupMember
from apps.devices.services.devices import approve_device, decommission_device
from apps.enrollment.models import Certificate, Enrollment, EnrollmentToken
from apps.enrollment.services import enroll
from apps.enrollment.services.authority import load_authority
from apps.enrollment.services.certificates import revoke_certificates
from apps.enrollment.services.enroll import enroll_device
from apps.enrollment.services.tokens import revoke_enrollment_token
from apps.events.models import OutboxEvent
from tests.enrollment.conftest import CALL, Machine, csr
from tests.factories import Cast

NewToken = Callable[..., Any]
BROKEN = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"


def rows(cast: Cast, model: Any) -> list[Any]:
    with tenant(cast.id):
        return list(model.objects.for_org(cast.id).order_by("-pk"))


def uses_left(cast: Cast) -> int:
    return int(rows(cast, EnrollmentToken)[0].uses_left)


def refused(secret: str, machine: Machine, **changes: Any) -> str:
    with pytest.raises(FleetdError) as failure:
        enroll_device(CALL, machine.request(secret, **changes))
    return failure.value.code


def test_a_device_gets_its_certificate(acme: Cast, new_token: NewToken) -> None:
    token = new_token(tags=["site=berlin"], group_ids=[acme.group.id])
    machine = Machine()
    result = enroll_device(CALL, machine.request(token.secret))
    device = next(d for d in rows(acme, Device) if d.id == result.device_id)
    assert (device.name, device.lifecycle, device.tags) == ("pump-7", "active", ["site=berlin"])
    assert device.inventory["cpu_count"] == 4
    assert any(m.device_id == device.id for m in rows(acme, GroupMember))
    assert uses_left(acme) == 0
    leaf, issuing = x509.load_pem_x509_certificates(result.chain_pem.encode())
    assert leaf.public_key() == machine.key.public_key()
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(x509.load_pem_x509_certificate(result.root_pem.encode()))


def test_the_platform_chooses_every_name(acme: Cast, new_token: NewToken) -> None:
    greedy = csr(
        Machine().key,
        name="root of all",
        names=x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier("spiffe://x/org/y/device/z"), x509.DNSName("a.b")]
        ),
        constraints=x509.BasicConstraints(True, None),
    )
    result = enroll_device(CALL, Machine().request(new_token().secret, csr_pem=greedy))
    leaf = x509.load_pem_x509_certificates(result.chain_pem.encode())[0]
    installation = load_authority().installation_id
    uri = f"spiffe://{installation}/org/{acme.id}/device/{result.device_id}"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(uri)]
    assert "root of all" not in leaf.subject.rfc4514_string()
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_after_utc - clock.now() < timedelta(days=30, minutes=1)


def test_asking_again_with_the_same_key_answers_the_same(acme: Cast, new_token: NewToken) -> None:
    token, machine = new_token(max_uses=5), Machine()
    first = enroll_device(CALL, machine.request(token.secret))
    assert enroll_device(CALL, machine.request(token.secret)) == first
    assert uses_left(acme) == 4
    assert len(rows(acme, Certificate)) == 1
    assert len(rows(acme, Enrollment)) == 1


def test_a_lost_answer_can_be_asked_for_after_the_token_ended(
    acme: Cast, erin: Actor, new_token: NewToken
) -> None:
    token, machine = new_token(), Machine()
    first = enroll_device(CALL, machine.request(token.secret))
    with tenant(acme.id):
        revoke_enrollment_token(erin, token.token.id)
    assert enroll_device(CALL, machine.request(token.secret)) == first


def test_another_key_for_enrolled_hardware_waits_for_approval(
    acme: Cast, new_token: NewToken
) -> None:
    token = new_token(max_uses=2)
    first = enroll_device(CALL, Machine().request(token.secret))
    second = enroll_device(CALL, Machine().request(token.secret))
    assert second.is_pending
    assert second.device_id != first.device_id
    pending = next(d for d in rows(acme, Device) if d.id == second.device_id)
    assert pending.lifecycle == "pending"
    assert "hardware identity" in pending.lifecycle_reason
    assert len(rows(acme, Certificate)) == 1


def test_a_waiting_device_gets_its_certificate_once_approved(
    acme: Cast, erin: Actor, new_token: NewToken
) -> None:
    token, machine = new_token(requires_approval=True), Machine()
    waiting = enroll_device(CALL, machine.request(token.secret))
    assert waiting.is_pending
    assert waiting.retry_after_seconds > 0
    assert enroll_device(CALL, machine.request(token.secret)) == waiting
    with tenant(acme.id):
        approve_device(erin, waiting.device_id)
    accepted = enroll_device(CALL, machine.request(token.secret))
    assert accepted.device_id == waiting.device_id
    assert accepted.chain_pem
    assert rows(acme, Enrollment)[0].outcome == "accepted"
    assert uses_left(acme) == 0


def test_a_refused_device_learns_that_it_is_out(
    acme: Cast, erin: Actor, new_token: NewToken
) -> None:
    token, machine = new_token(requires_approval=True), Machine()
    waiting = enroll_device(CALL, machine.request(token.secret))
    with tenant(acme.id):
        decommission_device(erin, waiting.device_id, reason="not ours")
    assert refused(token.secret, machine) == "device_decommissioned"


def test_a_decommissioned_machine_can_come_back_as_a_new_device(
    acme: Cast, erin: Actor, new_token: NewToken
) -> None:
    token = new_token(max_uses=2)
    first = enroll_device(CALL, Machine().request(token.secret))
    with tenant(acme.id):
        decommission_device(erin, first.device_id, reason="")
    second = enroll_device(CALL, Machine().request(token.secret))
    assert not second.is_pending
    assert second.device_id != first.device_id


@pytest.mark.parametrize("end", ["expired", "used_up", "revoked"])
def test_a_token_that_has_ended_says_why_to_who_holds_it(
    acme: Cast, erin: Actor, new_token: NewToken, end: str
) -> None:
    token, later = new_token(), timedelta(0)
    if end == "used_up":
        enroll_device(CALL, Machine("other").request(token.secret))
    if end == "revoked":
        with tenant(acme.id):
            revoke_enrollment_token(erin, token.token.id)
    if end == "expired":
        later = timedelta(hours=25)
    before = len(rows(acme, Device))
    with time_machine.travel(clock.now() + later, tick=False):
        assert refused(token.secret, Machine()) == f"enrollment_token_{end}"
    assert len(rows(acme, Device)) == before
    refusal = next(e for e in rows(acme, Enrollment) if e.device_id is None)
    assert refusal.outcome == f"enrollment_token_{end}"


def test_an_unknown_token_reveals_and_stores_nothing(acme: Cast, new_token: NewToken) -> None:
    secret = new_token().secret
    for wrong in ("", "nonsense", secret[:-1], new_secret(ENROLLMENT_TOKEN), "x" * 200):
        assert refused(wrong, Machine()) == "enrollment_token_invalid"
    assert rows(acme, Enrollment) == []


def test_guessing_tokens_is_slowed_down_by_address(new_token: NewToken) -> None:
    for _ in range(20):
        refused(new_secret(ENROLLMENT_TOKEN), Machine())
    with pytest.raises(TooMany) as failure:
        enroll_device(CALL, Machine().request(new_secret(ENROLLMENT_TOKEN)))
    assert failure.value.retry_after_seconds


@pytest.mark.parametrize(
    ("csr_pem", "code"),
    [
        ("", "csr_invalid"),
        (BROKEN, "csr_invalid"),
        (csr(rsa.generate_private_key(65537, 2048)), "csr_key_unsupported"),
        (csr(ec.generate_private_key(ec.SECP384R1())), "csr_key_unsupported"),
        (csr(ed25519.Ed25519PrivateKey.generate()), "csr_key_unsupported"),
    ],
    ids=["empty", "broken", "rsa", "p384", "ed25519"],
)
def test_a_request_that_cannot_be_signed_is_refused_and_kept(
    acme: Cast, new_token: NewToken, csr_pem: str, code: str
) -> None:
    token = new_token()
    assert refused(token.secret, Machine(), csr_pem=csr_pem) == code
    assert uses_left(acme) == 1
    assert [e.outcome for e in rows(acme, Enrollment)] == [code]


def test_a_request_signed_by_another_key_is_refused(new_token: NewToken) -> None:
    request = x509.load_pem_x509_csr(csr().encode())
    der = bytearray(request.public_bytes(Encoding.DER))
    der[-1] ^= 1  # the last byte of the signature
    body = base64.encodebytes(bytes(der)).decode()
    text = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    assert refused(new_token().secret, Machine(), csr_pem=text) == "csr_invalid"


def test_a_token_that_has_ended_cannot_fill_the_database(
    acme: Cast, erin: Actor, new_token: NewToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enroll, "KEPT_REFUSALS", 3)
    token = new_token()
    with tenant(acme.id):
        revoke_enrollment_token(erin, token.token.id)
    before = len(rows(acme, OutboxEvent))
    for number in range(8):
        machine = Machine(f"hardware-{number}")
        assert refused(token.secret, machine) == "enrollment_token_revoked"
        assert refused(token.secret, machine) == "enrollment_token_revoked"
    assert len(rows(acme, Enrollment)) == 3
    assert len(rows(acme, OutboxEvent)) == before + 3


def test_repeated_refusals_of_one_machine_are_one_row(acme: Cast, new_token: NewToken) -> None:
    token = new_token()
    for _ in range(3):
        refused(token.secret, Machine(), csr_pem="")
    assert len(rows(acme, Enrollment)) == 1


def test_after_its_certificate_was_revoked_a_device_needs_a_usable_token(
    acme: Cast, erin: Actor, new_token: NewToken
) -> None:
    token, machine = new_token(), Machine()
    first = enroll_device(CALL, machine.request(token.secret))
    with tenant(acme.id):
        revoke_certificates(erin, first.device_id, reason="lost")
    assert refused(token.secret, machine) == "enrollment_token_used_up"
    second = enroll_device(CALL, machine.request(new_token().secret))
    assert second.device_id == first.device_id
    assert second.chain_pem != first.chain_pem


def test_after_its_certificate_ended_a_device_needs_a_usable_token(
    acme: Cast, new_token: NewToken
) -> None:
    token, machine = new_token(max_uses=2, lifetime=timedelta(days=90)), Machine()
    first = enroll_device(CALL, machine.request(token.secret))
    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        second = enroll_device(CALL, machine.request(token.secret))
    assert second.device_id == first.device_id
    assert uses_left(acme) == 0


def test_joining_is_audited_once_and_told_to_who_waits(acme: Cast, new_token: NewToken) -> None:
    token = new_token()
    before = len(rows(acme, AuditEntry))
    enroll_device(CALL, Machine().request(token.secret))
    entries = rows(acme, AuditEntry)
    assert len(entries) == before + 1
    newest = max(entries, key=lambda e: e.sequence)
    assert (newest.action, newest.actor_label) == (
        "devices.register_device",
        "enrollment token line 1",
    )
    assert newest.address == "192.0.2.7"
    told = [e for e in rows(acme, OutboxEvent) if e.type == "enrollment.enrollment.answered.v1"]
    assert [e.payload["outcome"] for e in told] == ["accepted"]


def test_facts_with_nul_characters_are_stored(acme: Cast, new_token: NewToken) -> None:
    request = Machine("a\x00b").request(new_token().secret)
    object.__setattr__(request.facts, "details", {"a\x00": ["\x00", {"b": "\x00"}]})
    assert enroll_device(CALL, request).chain_pem
