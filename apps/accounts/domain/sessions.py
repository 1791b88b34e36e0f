"""What a browser's session says about how its person signed in."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.core.actors import SignIn

RECORDS = "account_authentication_methods"
RECORDS_OF = "account_authentication_methods_user"
METHODS = {"totp": "totp", "recovery_codes": "recovery_code", "webauthn": "passkey"}
NEVER = datetime.fromtimestamp(0, UTC)


def sign_in_of(session: Mapping[str, Any], user_id: object, seen: datetime | None) -> SignIn:
    """The sign-in of the session's person; `seen` is when the session was used before this call.

    A session without records was not made by signing in: it counts as endlessly old and proves
    nothing, so every demand of a policy refuses it.
    """
    records = session.get(RECORDS)
    if session.get(RECORDS_OF) != str(user_id) or not isinstance(records, list):
        return SignIn(NEVER, frozenset(), seen)
    known = [record for record in records if isinstance(record, dict)]
    moments = [float(r["at"]) for r in known if isinstance(r.get("at"), int | float)]
    methods = {_method(record) for record in known} - {""}
    at = datetime.fromtimestamp(min(moments), UTC) if moments else NEVER
    return SignIn(at, frozenset(methods), seen)


def _method(record: Mapping[str, Any]) -> str:
    """Our word for one step, empty for a step that proves nothing."""
    if record.get("method") == "password":
        return "password"
    return METHODS.get(str(record.get("type")), "") if record.get("method") == "mfa" else ""
