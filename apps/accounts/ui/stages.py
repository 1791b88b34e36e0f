"""Steps between the right password and the session."""

from typing import Any

from allauth.account.stages import LoginStage
from allauth.core.internal.httpkit import headed_redirect_response

TOO_SHORT = "password_is_too_short"


class RenewPasswordStage(LoginStage):
    """Asks for a new password where an organization wants longer ones by now.

    The last step: whoever comes here has passed the second factor.
    """

    key = "renew_password"
    urlname = "account_renew_password"

    def handle(self) -> Any:
        """Nothing to do for a password that is long enough, or was not used."""
        if not self.login.state.get(TOO_SHORT):
            return None, True
        return headed_redirect_response(self.urlname), True
