"""Which credential a call presents, on every protocol."""

from apps.accounts.domain import secrets


def presented(authorization: str | None, api_key: str | None) -> str | None:
    """The credential in the headers `Authorization` and `X-API-Key`; None where there is none.

    What is no credential of ours is the empty string, and so are two different ones: such a call
    must fail and not go on as somebody else.
    """
    if not authorization:
        return api_key or None
    scheme, _, rest = authorization.partition(" ")
    bearer = rest.strip() if scheme.lower() == "bearer" else ""
    return bearer if api_key in (None, "", bearer) else ""


def is_api_key(credential: str) -> bool:
    """Whether a credential could be an API key: form and checksum fit."""
    return secrets.is_well_formed(credential, secrets.API_KEY)
