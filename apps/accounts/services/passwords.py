"""Setting passwords: one's own, a forgotten one, and the link that an administrator hands out."""

import hashlib

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from apps.accounts.errors import WeakPassword
from apps.accounts.models import User
from apps.accounts.services.mail import send_mail
from apps.accounts.services.observers import required_password_length, tell_change
from apps.accounts.services.second_factors import give_attempts_back
from apps.core.actors import Call
from apps.core.errors import FieldError
from apps.core.limits import forget

MAX_PASSWORD = 1024  # longer ones would only cost hashing time


def check_new_password(user: User, password: str) -> None:
    """Raises `WeakPassword` for one that is too short, too common or too much like the person.

    The length is the installation's, or more where an organization of the person asks for it.
    """
    required = required_password_length(user)
    problems = []
    if len(password) < required:
        problems.append(f"Your organization asks for at least {required} characters.")
    if len(password) > MAX_PASSWORD or "\x00" in password:
        problems.append(f"A password has at most {MAX_PASSWORD} characters.")
    try:
        validate_password(password, user)
    except ValidationError as error:
        problems.extend(error.messages)
    if problems:
        message = " ".join(problems)
        raise WeakPassword(message, fields=[FieldError("password", "weak", message)])


def set_password(user: User, call: Call, password: str, *, action: str) -> None:
    """Gives a person a new password, which ends every other session and token of theirs.

    `action` is what the audit trail says: `accounts.change_password` or `accounts.reset_password`.
    A guesser's attempts are forgiven, because what was guessed is gone. Raises `WeakPassword`.
    """
    check_new_password(user, password)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        user.refresh_from_db(fields=["access_version"])
        user.set_password(password)
        user.save(update_fields=["password", "access_version"])
        tell_change(user, call, action=action)
    forget("sign_in_account", hashlib.sha256(user.email.encode()).hexdigest())
    give_attempts_back(user)


def reset_link(user: User) -> str:
    """An address where the person sets a new password: once, and for a day.

    It ends with the next sign-in, password or change of address, and signs nobody in.
    """
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": "U", "key": "K"})
    return settings.EXTERNAL_URL + path.replace("U-K", key)


def mail_reset_link(user: User | None, email: str) -> None:
    """Sends the link, where there is such a person. Whoever asked learns nothing either way."""
    if user is not None:
        send_mail("account/email/password_reset_key", email, {"link": reset_link(user)})
