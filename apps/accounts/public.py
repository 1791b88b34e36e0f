"""API keys, as REST and RPC offer them."""

from apps.accounts.models import ApiKey
from apps.accounts.permissions import REVOKE_API_KEY, VIEW_API_KEYS
from apps.accounts.selectors import list_api_keys as select_api_keys
from apps.accounts.services import api_keys as services
from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of, timestamp
from fleetd.pb.public.v1 import auth_pb2


@operation(VIEW_API_KEYS)
def list_api_keys(
    actor: Actor, request: auth_pb2.ListApiKeysRequest
) -> auth_pb2.ListApiKeysResponse:
    """The caller's own keys in this organization, newest first; `everybody` for administrators."""
    user_id = id_of(request.user_id) if request.user_id else None
    page = select_api_keys(actor, page_of(request), everybody=request.everybody, user_id=user_id)
    return auth_pb2.ListApiKeysResponse(
        items=[api_key_message(key) for key in page.items], next_page_token=page.next_page_token
    )


@operation(REVOKE_API_KEY)
def revoke_api_key(
    actor: Actor, request: auth_pb2.RevokeApiKeyRequest
) -> auth_pb2.RevokeApiKeyResponse:
    """Ends a key at once, with the keys that it made; doing it again changes nothing."""
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
        networks=key.networks,
        last_used_address=key.last_used_address,
        user_id=str(key.user_id),
        user_email=key.user.email,
        rotated_at=timestamp(key.rotated_at),
        previous_works_until=timestamp(key.previous_until),
    )
