"""API keys and service accounts, as REST and RPC offer them."""

from datetime import timedelta

from apps.accounts.permissions import (
    CREATE_API_KEY,
    MANAGE_SERVICE_ACCOUNTS,
    ROTATE_API_KEY,
    VIEW_SERVICE_ACCOUNTS,
)
from apps.accounts.public import api_key_message
from apps.accounts.services.api_keys import create_api_key as create_own_key
from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of, timestamp
from apps.organizations.services import service_accounts as services
from fleetd.pb.public.v1 import auth_pb2


@operation(CREATE_API_KEY)
def create_api_key(
    actor: Actor, request: auth_pb2.CreateApiKeyRequest
) -> auth_pb2.CreateApiKeyResponse:
    """Makes a key that acts as the caller, within `scopes`. The secret is shown this once."""
    made = create_own_key(
        actor,
        name=request.name,
        scopes=list(request.scopes),
        lifetime=_lifetime(request.lifetime_seconds),
        networks=list(request.networks),
    )
    return auth_pb2.CreateApiKeyResponse(api_key=api_key_message(made.api_key), secret=made.secret)


@operation(ROTATE_API_KEY)
def rotate_api_key(
    actor: Actor, request: auth_pb2.RotateApiKeyRequest
) -> auth_pb2.RotateApiKeyResponse:
    """A new secret for a key; the old one works for `overlap_seconds` more."""
    made = services.rotate_key(
        actor,
        id_of(request.id),
        overlap=timedelta(seconds=request.overlap_seconds),
        lifetime=_lifetime(request.lifetime_seconds),
    )
    return auth_pb2.RotateApiKeyResponse(api_key=api_key_message(made.api_key), secret=made.secret)


@operation(VIEW_SERVICE_ACCOUNTS)
def list_service_accounts(
    actor: Actor, request: auth_pb2.ListServiceAccountsRequest
) -> auth_pb2.ListServiceAccountsResponse:
    """The organization's accounts of programs, newest first."""
    page = services.list_service_accounts(actor, page_of(request))
    return auth_pb2.ListServiceAccountsResponse(
        items=[account_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_SERVICE_ACCOUNTS)
def get_service_account(
    actor: Actor, request: auth_pb2.GetServiceAccountRequest
) -> auth_pb2.GetServiceAccountResponse:
    """One service account."""
    found = services.get_service_account(actor, id_of(request.id))
    return auth_pb2.GetServiceAccountResponse(service_account=account_message(found))


@operation(MANAGE_SERVICE_ACCOUNTS)
def create_service_account(
    actor: Actor, request: auth_pb2.CreateServiceAccountRequest
) -> auth_pb2.CreateServiceAccountResponse:
    """Makes an account for a program, with a role of at most the caller's rights."""
    made = services.create_service_account(actor, name=request.name, role=request.role)
    return auth_pb2.CreateServiceAccountResponse(service_account=account_message(made))


@operation(MANAGE_SERVICE_ACCOUNTS)
def disable_service_account(
    actor: Actor, request: auth_pb2.DisableServiceAccountRequest
) -> auth_pb2.DisableServiceAccountResponse:
    """Its keys stop working until it is enabled again."""
    changed = services.disable_service_account(actor, id_of(request.id))
    return auth_pb2.DisableServiceAccountResponse(service_account=account_message(changed))


@operation(MANAGE_SERVICE_ACCOUNTS)
def enable_service_account(
    actor: Actor, request: auth_pb2.EnableServiceAccountRequest
) -> auth_pb2.EnableServiceAccountResponse:
    """Its keys work again."""
    changed = services.enable_service_account(actor, id_of(request.id))
    return auth_pb2.EnableServiceAccountResponse(service_account=account_message(changed))


@operation(MANAGE_SERVICE_ACCOUNTS)
def delete_service_account(
    actor: Actor, request: auth_pb2.DeleteServiceAccountRequest
) -> auth_pb2.DeleteServiceAccountResponse:
    """Ends a service account for ever, and its keys with it."""
    services.delete_service_account(actor, id_of(request.id))
    return auth_pb2.DeleteServiceAccountResponse()


@operation(MANAGE_SERVICE_ACCOUNTS)
def create_service_account_key(
    actor: Actor, request: auth_pb2.CreateServiceAccountKeyRequest
) -> auth_pb2.CreateServiceAccountKeyResponse:
    """Makes a key with which a program acts as the service account. Shown this once."""
    made = services.create_service_account_key(
        actor,
        id_of(request.id),
        name=request.name,
        scopes=list(request.scopes),
        lifetime=_lifetime(request.lifetime_seconds),
        networks=list(request.networks),
    )
    return auth_pb2.CreateServiceAccountKeyResponse(
        api_key=api_key_message(made.api_key), secret=made.secret
    )


def account_message(account: services.ServiceAccount) -> auth_pb2.ServiceAccount:
    """A service account."""
    return auth_pb2.ServiceAccount(
        id=str(account.user.id),
        name=account.user.name,
        role=account.membership.role,
        is_active=account.user.is_active,
        created_at=timestamp(account.membership.created_at),
        key_count=account.key_count,
        last_used_at=timestamp(account.last_used_at),
    )


def _lifetime(seconds: int) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds else None
