"""API keys, as REST and RPC offer them."""

from datetime import timedelta

from apps.accounts.models import ApiKey
from apps.accounts.permissions import CREATE_API_KEY, REVOKE_API_KEY, VIEW_API_KEYS
from apps.accounts.selectors import list_api_keys as select_api_keys
from apps.accounts.services import api_keys as services
from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of, timestamp
from fleetd.pb.public.v1 import auth_pb2


@operation(VIEW_API_KEYS)
def list_api_keys(
    actor: Actor, request: auth_pb2.ListApiKeysRequest
) -> auth_pb2.ListApiKeysResponse:
    """The caller's own keys in this organization, newest first."""
    page = select_api_keys(actor, page_of(request))
    return auth_pb2.ListApiKeysResponse(
        items=[api_key_message(key) for key in page.items], next_page_token=page.next_page_token
    )


@operation(CREATE_API_KEY)
def create_api_key(
    actor: Actor, request: auth_pb2.CreateApiKeyRequest
) -> auth_pb2.CreateApiKeyResponse:
    """Makes a key that acts as the caller, within `scopes`. The secret is shown this once."""
    lifetime = timedelta(seconds=request.lifetime_seconds) if request.lifetime_seconds else None
    made = services.create_api_key(
        actor, name=request.name, scopes=list(request.scopes), lifetime=lifetime
    )
    return auth_pb2.CreateApiKeyResponse(api_key=api_key_message(made.api_key), secret=made.secret)


@operation(REVOKE_API_KEY)
def revoke_api_key(
    actor: Actor, request: auth_pb2.RevokeApiKeyRequest
) -> auth_pb2.RevokeApiKeyResponse:
    """Ends one of the caller's keys at once; doing it again changes nothing."""
    key = services.revoke_api_key(actor, id_of(request.id))
    return auth_pb2.RevokeApiKeyResponse(api_key=api_key_message(key))


def api_key_message(key: ApiKey) -> auth_pb2.ApiKey:
    """A key without its secret."""
    return auth_pb2.ApiKey(
        id=str(key.id),
        name=key.name,
        prefix=key.prefix,
        scopes=key.scopes,
        expires_at=timestamp(key.expires_at),
        revoked_at=timestamp(key.revoked_at),
        last_used_at=timestamp(key.last_used_at),
        created_at=timestamp(key.created_at),
    )
