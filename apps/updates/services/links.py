"""Links under which a device downloads what its deployment needs, and nothing else."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from uuid import UUID

from django.conf import settings

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import NotFound
from apps.updates.domain.links import is_expired, is_signed, sign_link
from apps.updates.domain.storage import is_sha256
from apps.updates.errors import LinkExpired, LinkInvalid
from apps.updates.models import Artifact
from apps.updates.selectors.artifacts import find_offered_artifact

LIFETIME = timedelta(hours=1)
PATH = "/agent/v1/artifacts"


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it came in. Nothing of it is trusted before its signature is."""

    organization_id: UUID
    deployment_id: UUID
    sha256: str
    expires: int
    signature: str


def make_link(actor: Actor, deployment_id: UUID, sha256: str) -> str:
    """An absolute link for one deployment and one file, good for an hour while it is active."""
    return link_maker(actor)(deployment_id, sha256)


def link_maker(actor: Actor) -> Callable[[UUID, str], str]:
    """What makes links from a deployment and a digest, all good for an hour from now.

    A gateway makes many thousands of these a second: what they have in common is found once.
    """
    expires = int((clock.now() + LIFETIME).timestamp())
    key, organization_id = _key(), str(actor.organization_id)
    # Nothing in a link needs quoting.
    base = f"{settings.EXTERNAL_URL}{PATH}"
    query = f"?organization={organization_id}&expires={expires}&signature="

    def make(deployment_id: UUID, sha256: str) -> str:
        deployment = str(deployment_id)
        signature = sign_link(key, organization_id, deployment, sha256, expires)
        return f"{base}/{deployment}/{sha256}{query}{signature}"

    return make


def check_link(actor: None, link: Link) -> None:
    """Refuses links that were not made here (`LinkInvalid`) and old ones (`LinkExpired`)."""
    if not is_sha256(link.sha256):
        raise LinkInvalid
    expected = sign_link(
        _key(), link.organization_id, link.deployment_id, link.sha256, link.expires
    )
    if not is_signed(link.signature, expected):
        raise LinkInvalid
    if is_expired(link.expires, clock.now()):
        raise LinkExpired


def open_link(actor: None, link: Link) -> Artifact:
    """The artifact behind a checked link, while its deployment is being worked on.

    The link is the credential; it works in `tenant(link.organization_id)`. Raises `NotFound` once
    the deployment is over or cancelled.
    """
    check_link(actor, link)
    artifact = find_offered_artifact(link.organization_id, link.deployment_id, link.sha256)
    if artifact is None:
        raise NotFound
    return artifact


def _key() -> bytes:
    """A key of its own, so that nothing else signed with the secret key is ever a link."""
    return _derived(settings.SECRET_KEY)


@cache
def _derived(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"fleetd.artifact-links", hashlib.sha256).digest()
