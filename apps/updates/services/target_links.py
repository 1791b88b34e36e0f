"""Base addresses under which TUF clients download the target files of one deployment."""

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.conf import settings

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import NotFound
from apps.core.ids import parse_uuid
from apps.updates.domain.links import is_expired, is_signed, sign_link
from apps.updates.domain.storage import is_sha256
from apps.updates.errors import LinkExpired, LinkInvalid
from apps.updates.models import Artifact
from apps.updates.selectors.artifacts import find_offered_artifact
from apps.updates.selectors.signing import repository_url
from apps.updates.services.links import LIFETIME

# In the place of a digest: these links are for every file of their deployment.
_ANY_FILE = "*"


@dataclass(frozen=True, slots=True)
class TargetLink:
    """A link as it came in. Nothing of it is trusted before its signature is."""

    organization_id: UUID
    deployment_id: UUID
    expires: int
    signature: str
    sha256: str


def make_targets_url(actor: Actor, deployment_id: UUID) -> str:
    """Where a TUF client finds the files of one deployment, for an hour while it is active.

    The credential is one segment of the path, so that a client which only knows a base address
    works unchanged.
    """
    expires = int((clock.now() + LIFETIME).timestamp())
    signature = _signature(actor.organization_id, deployment_id, expires)
    base = repository_url(actor.organization_id)
    return f"{base}/targets/{deployment_id}.{expires}.{signature}/"


def read_target_link(actor: None, organization_id: UUID, token: str, path: str) -> TargetLink:
    """The link that an address holds: its token, and the digest before the file's name.

    Raises `LinkInvalid` for anything that was not made here, `LinkExpired` for what is old.
    """
    deployment, _, rest = token.partition(".")
    expires, _, signature = rest.partition(".")
    deployment_id = parse_uuid(deployment)
    sha256 = path.rsplit("/", 1)[-1].partition(".")[0]
    is_number = expires.isascii() and expires.isdigit() and len(expires) <= 12
    if deployment_id is None or not is_number or not is_sha256(sha256):
        raise LinkInvalid
    link = TargetLink(organization_id, deployment_id, int(expires), signature, sha256)
    if not is_signed(signature, _signature(organization_id, deployment_id, link.expires)):
        raise LinkInvalid
    if is_expired(link.expires, clock.now()):
        raise LinkExpired
    return link


def open_target(actor: None, link: TargetLink) -> Artifact:
    """The artifact behind a link, while its deployment is being worked on; else `NotFound`."""
    found = find_offered_artifact(link.organization_id, link.deployment_id, link.sha256)
    if found is None:
        raise NotFound
    return found


def _signature(organization_id: UUID, deployment_id: UUID, expires: int) -> str:
    key = _derived(settings.SECRET_KEY)
    return sign_link(key, organization_id, deployment_id, _ANY_FILE, expires)


@cache
def _derived(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"fleetd.target-links", hashlib.sha256).digest()
