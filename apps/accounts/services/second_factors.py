"""Second factors: checking a code once and only once, adding and taking away."""

import binascii
import hmac
import time
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from allauth.mfa.webauthn.internal.auth import WebAuthn
from django.db import transaction

from apps.accounts.errors import WrongSecondFactor
from apps.accounts.models import User
from apps.accounts.services.observers import tell_change
from apps.core.actors import Call
from apps.core.errors import NotFound
from apps.core.limits import Limit, forget, take_all
from apps.core.sealing import seal, unseal

PURPOSE = "second_factor"  # of the sealed secrets
STEP_SECONDS = 30
TOLERANCE = 1  # steps that a phone's clock may be off
USED = "used_counter"
WORDS = {"totp": "totp", "recovery_codes": "recovery_code", "webauthn": "passkey"}
"""Our words for kinds of authenticators, as in `SignIn.methods`."""
_CODES = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


def seal_secret(text: str) -> str:
    """The secret of an authenticator app or of recovery codes, as it lies in the database."""
    return seal(text.encode(), purpose=PURPOSE)


def open_secret(sealed: str) -> str:
    """The secret again."""
    return unseal(sealed, purpose=PURPOSE).decode()


def take_attempt(user: User) -> None:
    """Spends one attempt at the person's codes. Raises `TooMany` after five wrong ones.

    Six digits fall to patience: thirty a day leave a thief of the password a chance of two in a
    hundred a year. Passkeys are not limited, there is nothing to guess.
    """
    key = str(user.pk)
    limits = [Limit("second_factor", key, 5, 600), Limit("second_factor_day", key, 30, 86_400)]
    take_all(limits)


def give_attempts_back(user: User) -> None:
    """After a right code, or once the password is another one."""
    for name in ("second_factor", "second_factor_day"):
        forget(name, str(user.pk))


def check_code(user: User, code: str) -> Authenticator:
    """The authenticator that the code belongs to, now used up. Raises `WrongSecondFactor`.

    Works for codes of the app and for recovery codes. The row is locked meanwhile: of two calls
    with one code one is right, on all processes, with or without Valkey. Spends an attempt.
    """
    take_attempt(user)
    code = "".join(code.split())
    with transaction.atomic():
        rows = Authenticator.objects.select_for_update().filter(user=user, type__in=_CODES)
        for authenticator in rows.order_by("pk"):
            if code and _is_right(authenticator, code):
                give_attempts_back(user)
                return authenticator
    raise WrongSecondFactor


def _is_right(authenticator: Any, code: str) -> bool:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        return bool(authenticator.wrap().validate_code(code))
    counter = matching_counter(open_secret(authenticator.data["secret"]), code)
    if counter is None or counter <= authenticator.data.get(USED, -1):
        return False
    authenticator.data[USED] = counter
    authenticator.save(update_fields=["data"])
    return True


def matching_counter(secret: str, code: str) -> int | None:
    """The time step whose code this is (RFC 6238), if it is near enough to now."""
    now = int(time.time()) // STEP_SECONDS
    for counter in range(now - TOLERANCE, now + TOLERANCE + 1):
        try:
            expected = format_hotp_value(hotp_value(secret, counter))
        except (binascii.Error, ValueError):
            return None
        if hmac.compare_digest(expected.encode(), code.encode("utf-8", "replace")):
            return counter
    return None


@transaction.atomic
def add_app(request: Any, user: User, call: Call, secret: str) -> None:
    """Adds the authenticator app whose code was just right, with recovery codes if there are none.

    The session counts as signed in with a second factor from now on: the code was the proof.
    """
    authenticator = TOTP.activate(user, secret).instance
    _added(request, user, call, authenticator, "totp", "mfa/email/totp_activated")


@transaction.atomic
def add_passkey(
    request: Any, user: User, call: Call, *, name: str, credential: dict[str, Any]
) -> None:
    """Adds a passkey that the browser has just made, with recovery codes if there are none."""
    authenticator = WebAuthn.add(user, name, credential).instance
    _added(request, user, call, authenticator, "passkey", "mfa/email/webauthn_added")


@transaction.atomic
def remove_factor(request: Any, user: User, call: Call, authenticator_id: int) -> str:
    """Removes one of the person's own factors; with the last one go the recovery codes.

    Answers its type. Raises `NotFound`.
    """
    rows = Authenticator.objects.select_for_update().filter(user=user)
    found = rows.filter(pk=authenticator_id).exclude(type=Authenticator.Type.RECOVERY_CODES).first()
    if found is None:
        raise NotFound
    kind, changes = str(found.type), {"factor": WORDS[found.type], "name": str(found)}
    found.delete()
    if not rows.exclude(type=Authenticator.Type.RECOVERY_CODES).exists():
        rows.delete()
    tell_change(user, call, action="accounts.remove_second_factor", changes=changes)
    mail = "totp_deactivated" if kind == Authenticator.Type.TOTP else "webauthn_removed"
    get_adapter(request).send_notification_mail(f"mfa/email/{mail}", user)
    return kind


@transaction.atomic
def rename_passkey(user: User, call: Call, authenticator_id: int, name: str) -> None:
    """Calls a passkey something else. Raises `NotFound`."""
    rows = Authenticator.objects.select_for_update().filter(user=user, pk=authenticator_id)
    found = rows.filter(type=Authenticator.Type.WEBAUTHN).first()
    if found is None:
        raise NotFound
    before, found.data["name"] = found.data.get("name", ""), name
    found.save(update_fields=["data"])
    changes = {"factor": "passkey", "name": [before, name]}
    tell_change(user, call, action="accounts.rename_second_factor", changes=changes)


@transaction.atomic
def renew_recovery_codes(request: Any, user: User, call: Call) -> None:
    """Ten new recovery codes; the old ones stop working."""
    User.objects.select_for_update().get(pk=user.pk)
    Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).delete()
    RecoveryCodes.activate(user)
    tell_change(user, call, action="accounts.renew_recovery_codes")
    get_adapter(request).send_notification_mail("mfa/email/recovery_codes_generated", user)


@transaction.atomic
def show_recovery_codes(user: User) -> list[str] | None:
    """The unused recovery codes, the first time that somebody asks; None after that.

    Raises `NotFound` for somebody who has none.
    """
    rows = Authenticator.objects.select_for_update().filter(user=user)
    found = rows.filter(type=Authenticator.Type.RECOVERY_CODES).first()
    if found is None:
        raise NotFound
    codes = found.wrap()
    if codes.did_view:
        return None
    codes.mark_as_viewed()
    return list(codes.get_unused_codes())


def remove_all_factors(user: User) -> list[str]:
    """Takes away every factor of a person who has lost them; says which. For recovery only."""
    rows = Authenticator.objects.select_for_update().filter(user=user)
    removed = sorted(WORDS[found.type] for found in rows)
    rows.delete()
    give_attempts_back(user)
    return removed


def _added(
    request: Any, user: User, call: Call, authenticator: Authenticator, word: str, mail: str
) -> None:
    record_authentication(request, user, "mfa", id=authenticator.pk, type=str(authenticator.type))
    changes = {"factor": word, "name": str(authenticator)}
    tell_change(user, call, action="accounts.add_second_factor", changes=changes)
    RecoveryCodes.activate(user)
    get_adapter(request).send_notification_mail(mail, user)
