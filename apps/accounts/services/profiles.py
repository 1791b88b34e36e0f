"""What people change about themselves: name and e-mail address."""

from typing import Any

from allauth.account.models import EmailAddress
from django.db import transaction

from apps.accounts.errors import EmailTaken
from apps.accounts.models import User
from apps.accounts.selectors import is_email_taken
from apps.accounts.services.observers import tell_change
from apps.core.actors import Call
from apps.core.errors import invalid
from apps.core.limits import take


@transaction.atomic
def rename_self(user: User, call: Call, name: str) -> None:
    """What others read instead of the address. The same name again changes nothing."""
    name = " ".join(name.split())
    if len(name) > 150 or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has at most 150 characters.")
    if name != user.name:
        before, user.name = user.name, name
        user.save(update_fields=["name"])
        tell_change(user, call, action="accounts.rename_self", changes={"name": [before, name]})


def ask_for_email_change(request: Any, user: User, email: str) -> None:
    """Sends a link to the new address; it becomes the account's once the link is opened.

    Raises `EmailTaken`, and `TooMany` after five an hour.
    """
    take("email_change", str(user.pk), limit=5, per_seconds=3600)
    if email.lower() == user.email or is_email_taken(email, except_for=user.pk):
        raise EmailTaken
    EmailAddress.objects.add_new_email(request, user, email)
