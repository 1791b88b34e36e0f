"""Making people's accounts."""

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from apps.accounts.errors import EmailTaken, WeakPassword
from apps.accounts.models import User
from apps.accounts.services.passwords import check_new_password
from apps.core.errors import FieldError, invalid


def create_person(
    _actor: None,
    *,
    email: str,
    password: str,
    name: str = "",
    is_email_verified: bool = False,
    password_min_length: int = 0,
) -> User:
    """Makes the account of somebody who was invited, with the password that they chose.

    `is_email_verified` where the invitation reached them by mail; `password_min_length` is what
    the organization asks for that they are about to join. Raises `InvalidRequest`, `WeakPassword`
    and `EmailTaken`. There is no other way to an account: nobody can sign up.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise invalid("email", "invalid_email", "This is not an e-mail address.") from error
    name = " ".join(name.split())
    if len(name) > 150 or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has at most 150 characters.")
    user = User(email=email, name=name)
    if len(password) < password_min_length:
        text = f"This organization asks for at least {password_min_length} characters."
        raise WeakPassword(text, fields=[FieldError("password", "weak", text)])
    check_new_password(user, password)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            keep_address(user, is_verified=is_email_verified)
    except IntegrityError as error:
        raise EmailTaken from error
    return user


def keep_address(user: User, *, is_verified: bool) -> None:
    """Remembers whether the person's address is known to be theirs."""
    EmailAddress.objects.update_or_create(
        user=user, email=user.email, defaults={"primary": True, "verified": is_verified}
    )
