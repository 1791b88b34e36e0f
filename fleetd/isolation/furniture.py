"""Fills one organization with one of everything, through the product's own services."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from apps.accounts.models import User
from apps.accounts.services.api_keys import create_api_key
from apps.audit.services.checkpoints import create_checkpoints
from apps.core.actors import Actor, Call, Source, system_actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.devices.access import GrantObject
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.services.devices import update_device
from apps.devices.services.grants import grant_access
from apps.devices.services.groups import add_devices_to_group, create_device_group
from apps.devices.services.ownership import give_group_to_team
from apps.devices.types import Facts
from apps.enrollment.domain import ca
from apps.enrollment.services.enroll import enroll_device
from apps.enrollment.services.tokens import create_enrollment_token
from apps.enrollment.types import EnrollmentRequest, EnrollmentResult
from apps.organizations.selectors import actor_for_user
from apps.organizations.services.invitations import create_invitation
from apps.organizations.services.members import add_member
from apps.organizations.services.roles import create_custom_role
from apps.organizations.services.service_accounts import create_service_account
from apps.organizations.services.setup import create_organization, create_user
from apps.teams.services.members import add_team_members
from apps.teams.services.teams import create_team
from apps.updates.models import Release
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.offers import claim_deployments
from apps.updates.services.planning import create_rollout
from apps.updates.services.releases import create_release
from apps.updates.services.reports import apply_reports
from apps.updates.services.rollouts import start_rollout
from apps.updates.services.signing import prepare_signing
from apps.updates.services.uploads import create_artifact_upload
from apps.updates.types import NewComponent, Report, Target

PASSWORD = "a password of the scratch database 7"  # noqa: S105  of people who exist for a minute
ADDRESS = "192.0.2.1"


@dataclass(frozen=True)
class Machine:
    """A device that has joined, with its key and certificate."""

    device_id: UUID
    key_pem: str
    chain_pem: str
    root_pem: str


@dataclass(frozen=True)
class Furnished:
    """What the walk needs to know of an organization besides its rows."""

    organization_id: UUID
    owner: User
    member: User
    in_team: User
    actor: Actor
    api_key: str
    machine: Machine


def furnish(mark: str) -> Furnished:
    """Makes an organization with people, devices, updates and keys; every text holds `mark`."""
    made = create_organization(
        None, name=f"{mark} works", email=f"owner-{mark}@example.test", password=PASSWORD
    )
    organization_id = made.organization.id
    call = Call(Source.CLI, ADDRESS, "req_isolation")
    actor = actor_for_user(made.owner, call, organization=str(organization_id))
    member, in_team = (
        create_user(None, email=f"{word}-{mark}@example.test", password=PASSWORD)
        for word in ("member", "team")
    )
    with tenant(organization_id):
        add_member(actor, member, role=Role.OPERATOR)
        add_member(actor, in_team, role=Role.MEMBER)
        key = create_api_key(actor, name=f"{mark} key")
        token = create_enrollment_token(actor, name=f"{mark} line", max_uses=5, tags=[mark])
        slow = create_enrollment_token(actor, name=f"{mark} gate", requires_approval=True)
    machine = enroll(mark, token.secret)
    enroll(f"{mark}-waiting", slow.secret)
    with tenant(organization_id):
        _group(actor, mark, machine.device_id)
        _team(actor, mark, in_team, machine.device_id)
        _people(actor, mark, member)
        _update(actor, mark, machine.device_id)
        prepare_signing(actor)
        create_checkpoints(system_actor(organization_id))
    return Furnished(organization_id, made.owner, member, in_team, actor, key.secret, machine)


def enroll(name: str, secret: str) -> Machine:
    """A machine that joins with an enrollment token."""
    key = ca.new_key()
    result: EnrollmentResult = enroll_device(
        Call(Source.AGENT, ADDRESS, "req_isolation"),
        EnrollmentRequest(
            token=secret,
            csr_pem=signing_request(key),
            hardware_id=f"hardware-{name}",
            agent_version="1.0",
            facts=Facts(hostname=name, serial=name, os_name="Debian", details={"site": name}),
        ),
    )
    return Machine(result.device_id, ca.key_pem(key), result.chain_pem, result.root_pem)


def signing_request(key: ca.Key) -> str:
    """A certificate signing request that asks for nothing."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _group(actor: Actor, mark: str, device_id: UUID) -> None:
    update_device(actor, device_id, name=f"{mark}-device", add_tags=[f"{mark}-tag"])
    group = create_device_group(actor, name=f"{mark} group")
    add_devices_to_group(actor, group.id, [device_id])
    create_device_group(actor, name=f"{mark} tagged", tag=f"{mark}-tag")
    create_device_group(actor, name=f"{mark} smart", filter=f'group = "{mark} group"')


def _people(actor: Actor, mark: str, member: User) -> None:
    """Teams, roles, invitations and accounts of programs."""
    team = create_team(actor, name=f"{mark} team", description=mark)
    people = [person for person in (member.id, actor.user_id) if person]
    add_team_members(actor, team.id, people, role=Role.OPERATOR)
    owned = create_device_group(actor, name=f"{mark} owned")
    give_group_to_team(actor, owned.id, team.id)
    given, group = [VIEW_DEVICES.name], create_device_group(actor, name=f"{mark} granted")
    for kind, key in (
        ("device_group", group.id),
        ("team", team.id),
        ("organization", actor.organization_id),
    ):
        grant_access(actor, user_id=member.id, on=GrantObject(kind, key), permissions=given)
    create_custom_role(actor, name=f"{mark} role", permissions=[VIEW_DEVICES.name])
    create_invitation(actor, role=Role.VIEWER, email=f"guest-{mark}@example.test")
    create_service_account(actor, name=f"{mark} program", role=Role.VIEWER)


def _team(actor: Actor, mark: str, person: User, device_id: UUID) -> None:
    """A team whose `person` has rights on the device of one group and nowhere else."""
    team = create_team(actor, name=f"{mark} night shift")
    people = [person.id, *(owner for owner in (actor.user_id,) if owner)]
    add_team_members(actor, team.id, people, role=Role.OPERATOR)
    group = create_device_group(actor, name=f"{mark} at night")
    add_devices_to_group(actor, group.id, [device_id])
    give_group_to_team(actor, group.id, team.id)


def _update(actor: Actor, mark: str, device_id: UUID) -> None:
    """A rollout that is under way on the device, and one that is a draft."""
    first, second = (release(actor, mark, number) for number in (1, 2))
    create_rollout(actor, name=f"{mark} draft", release_id=second.id, target=Target())
    create_artifact_upload(actor, name=f"{mark} half.img", size_bytes=10)
    running = create_rollout(actor, name=f"{mark} rollout", release_id=first.id, target=Target())
    start_rollout(actor, running.id)
    gateway = system_actor(actor.organization_id, source=Source.AGENT)
    for offer in claim_deployments(gateway, [device_id]):
        apply_reports(
            gateway, [Report(offer.device_id, offer.deployment_id, 1, "downloading", message=mark)]
        )


def release(actor: Actor, mark: str, number: int) -> Release:
    """A release of one script."""
    content = io.BytesIO(f"echo {mark} {number}\n".encode())
    artifact = store_artifact(actor, name=f"{mark}-{number}.sh", file=content)
    part = NewComponent(name=mark, kind="script", artifact_id=artifact.id)
    return create_release(actor, name=mark, version=f"{number}.0.0", components=[part], notes=mark)


def grow(actor: Actor, mark: str, machine: Machine, *, objects: int) -> None:
    """Adds `objects` more things that lists and counters would show."""
    kinds: tuple[Callable[[int], object], ...] = (
        lambda n: create_device_group(actor, name=f"{mark} more {n}"),
        lambda n: create_enrollment_token(actor, name=f"{mark} more {n}"),
        lambda n: create_api_key(actor, name=f"{mark} more {n}"),
        lambda n: store_artifact(
            actor, name=f"{mark}-more-{n}", file=io.BytesIO(f"{mark} {n}".encode())
        ),
    )
    token = create_enrollment_token(actor, name=f"{mark} crowd", max_uses=objects)
    for number in range(objects):
        kinds[number % len(kinds)](number)
    for number in range(objects // 5):
        enroll(f"{mark}-more-{number}", token.secret)
