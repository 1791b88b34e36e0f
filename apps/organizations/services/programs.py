"""Signing programs in and out: tokens for a person's command line, script or app.

Accounts make and rotate tokens; organizations say who belongs to them and on which conditions.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.accounts.domain.jwt import LIFETIME
from apps.accounts.errors import InvalidRefreshToken
from apps.accounts.models import RefreshFamily, User
from apps.accounts.selectors import find_active_user, require_own_session
from apps.accounts.services import tokens
from apps.accounts.services.observers import tell_change
from apps.accounts.services.sign_in import authenticate_password
from apps.accounts.services.tokens import RefreshTokenReused, TokenPair, issue_tokens
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call, SignIn
from apps.core.addresses import limit_key
from apps.core.errors import PermissionDenied, Unauthenticated
from apps.core.limits import take
from apps.organizations.errors import OrganizationAmbiguous
from apps.organizations.models import Organization
from apps.organizations.selectors import actor_for_user

REFRESHES_PER_MINUTE = 120
"""Of one address. A program refreshes every ten minutes; many may share an address."""
SIGN_OUT = "accounts.sign_out"
SIGN_OUT_EVERYWHERE = "accounts.sign_out_everywhere"
REVOKE_SESSION = "accounts.revoke_session"
TOKEN_REUSED = "accounts.refresh_token_reused"  # noqa: S105 - an action, not a token


@dataclass(frozen=True, slots=True)
class ProgramSignedIn:
    """A program that has been signed in: for whom, and where its tokens work."""

    tokens: TokenPair
    user: User
    organization: Organization | None


def sign_in_program(
    call: Call, *, email: str, password: str, code: str = "", organization: str = "", client: str
) -> ProgramSignedIn:
    """Tokens for the person with this password (and second factor).

    They are bound to `organization`, or to the only one that the person belongs to; somebody who
    belongs to several and names none says it with each call. Raises what `authenticate_password`
    raises, `NoOrganization`, and what the organization's security policy has against the sign-in.
    """
    signed = authenticate_password(call, email=email, password=password, code=code)
    found = _organization_for(signed.user, call, organization, signed.sign_in)
    pair = issue_tokens(
        signed.user,
        organization_id=found.id if found else None,
        sign_in=signed.sign_in,
        call=call,
        client=client,
    )
    return ProgramSignedIn(pair, signed.user, found)


def refresh_program(call: Call, refresh_token: str) -> TokenPair:
    """New tokens for a refresh token, which is used up by this.

    Raises `InvalidRefreshToken` for every token that is not good now, and `TooMany`. One that was
    used before ends its sign-in, and the audit trail of the person's organizations says so.
    """
    take("refresh", limit_key(call.address), limit=REFRESHES_PER_MINUTE, per_seconds=60)
    try:
        return tokens.rotate_refresh_token(call, refresh_token, check=_still_belongs)
    except RefreshTokenReused as error:
        _tell(error.family.user, call, TOKEN_REUSED, error.family)
        raise InvalidRefreshToken from None


def sign_out_program(actor: Actor) -> None:
    """Ends the sign-in that the call's access token belongs to.

    Its tokens die within five seconds. Raises `PermissionDenied` for a call that came with
    something else: an API key is revoked, a browser's session ends at its own sign-out.
    """
    if actor.session_id is None:
        raise PermissionDenied("Only an access token signs its program out.")
    tokens.end_family(actor, actor.session_id, action=SIGN_OUT, reason=tokens.SIGNED_OUT)


def sign_out_by_token(call: Call, refresh_token: str) -> None:
    """Ends the sign-in of a refresh token; says nothing about one that means nothing (RFC 7009)."""
    take("refresh", limit_key(call.address), limit=REFRESHES_PER_MINUTE, per_seconds=60)
    family = tokens.end_family_of_token(refresh_token)
    if family is not None:
        _tell(family.user, call, SIGN_OUT, family)


def sign_out_person_everywhere(actor: Actor) -> None:
    """Ends every sign-in of the caller, in browsers too. API keys stay."""
    person = _person(actor)
    tokens.sign_out_everywhere(person)
    record(actor, SIGN_OUT_EVERYWHERE, person)


def revoke_session(actor: Actor, family_id: UUID) -> RefreshFamily:
    """Ends one of the caller's own programs' sign-ins; ending it again changes nothing."""
    require_own_session(actor, family_id)
    _person(actor)
    return tokens.end_family(actor, family_id, action=REVOKE_SESSION, reason=tokens.REVOKED)


def _organization_for(user: User, call: Call, wanted: str, sign_in: SignIn) -> Organization | None:
    """Where tokens will work; None for somebody who belongs to several and named none."""
    try:
        actor = actor_for_user(user, call, organization=wanted, sign_in=sign_in)
    except OrganizationAmbiguous:
        return None
    return Organization.objects.get(id=actor.organization_id)


def _still_belongs(family: RefreshFamily, call: Call) -> None:
    """Raises where the person has left the organization, or its policy wants a new sign-in.

    A program that was quiet has used its access token until that ended: idle time counts from then.
    """
    seen = min(clock.now(), family.last_used_at + LIFETIME)
    sign_in = SignIn(family.authenticated_at, frozenset(family.methods), seen)
    try:
        wanted = str(family.bound_to_id) if family.bound_to_id else ""
        actor_for_user(family.user, call, organization=wanted, sign_in=sign_in)
    except OrganizationAmbiguous:
        return  # each call says which, and is checked there


def _person(actor: Actor) -> User:
    """The person who calls; keys cannot speak about sign-ins."""
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise PermissionDenied("Only a person who is signed in can end sign-ins.")
    user = find_active_user(actor.user_id)
    if user is None:
        raise Unauthenticated
    return user


def _tell(user: User, call: Call, action: str, family: RefreshFamily) -> None:
    changes: dict[str, Any] = {"session": str(family.id), "client": family.client}
    tell_change(user, call, action=action, changes=changes)
