"""The first owner and organization. These run before there is anybody to be the actor."""

import hmac
import secrets as random
from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction

from apps.accounts.domain.secrets import secret_hash
from apps.accounts.errors import EmailTaken, WeakPassword
from apps.accounts.models import User
from apps.accounts.selectors import has_users
from apps.accounts.services.people import keep_address
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Source, system_actor
from apps.core.authz import Role
from apps.core.errors import FieldError, invalid
from apps.core.tenancy import tenant
from apps.organizations.errors import SetupDone, WrongSetupCode
from apps.organizations.models import Organization, SetupCode
from apps.organizations.services.members import add_member
from apps.organizations.services.organizations import insert_organization
from apps.organizations.services.settings import update_organization_settings

TRIAL = "updates.allow_unsigned"
SETUP_LOCK = 0x466C656574  # "Fleet": two setups at once become one after the other


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """An organization just made, and its owner."""

    organization: Organization
    owner: User


def issue_setup_code(_actor: None = None) -> str | None:
    """A new one-time code for `/setup`, None where somebody has an account already.

    An earlier code stops working. Only its hash is stored; the server prints the code itself.
    """
    if has_users():
        return None
    code = random.token_hex(8)
    with transaction.atomic():
        SetupCode.objects.all().delete()
        SetupCode.objects.create(secret_hash=secret_hash(code), created_at=clock.now())
    return code


def is_setup_code(_actor: None, code: str) -> bool:
    """Whether this is the code that the server printed last."""
    stored = SetupCode.objects.first()
    return stored is not None and hmac.compare_digest(stored.secret_hash, secret_hash(code))


def complete_setup(
    _actor: None, *, code: str, email: str, password: str, organization_name: str
) -> NewOrganization:
    """Makes the first owner and organization, once, for whoever holds the setup code.

    Raises `SetupDone`, `WrongSetupCode`, and `InvalidRequest` or `WeakPassword` for bad input.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SETUP_LOCK])
        if has_users():
            raise SetupDone
        if not is_setup_code(None, code):
            raise WrongSetupCode
        made = create_organization(
            None, name=organization_name, email=email, password=password, is_superuser=True
        )
        SetupCode.objects.all().delete()
    return made


def create_organization(
    _actor: None, *, name: str, email: str, password: str, is_superuser: bool = False
) -> NewOrganization:
    """Makes an organization and the account of its owner. For setup, bootstrap and the demo.

    It begins in trial mode, visibly: releases that nobody signed may be rolled out until somebody
    switches that off. Organizations that members make later begin without.
    """
    with transaction.atomic():
        owner = create_user(None, email=email, password=password, is_superuser=is_superuser)
        organization = insert_organization(name)
        with tenant(organization.id):
            actor = system_actor(organization.id, source=Source.UI)
            record(actor, "organizations.create_organization", organization)
            add_member(actor, owner, role=Role.OWNER)
            update_organization_settings(actor, {TRIAL: True})
    return NewOrganization(organization, owner)


def create_user(_actor: None, *, email: str, password: str, is_superuser: bool = False) -> User:
    """Makes a person's account."""
    try:
        validate_email(email)
    except ValidationError as error:
        raise invalid("email", "invalid_email", "This is not an e-mail address.") from error
    user = User(email=email.lower(), is_superuser=is_superuser)
    try:
        validate_password(password, user)
    except ValidationError as error:
        message = " ".join(error.messages)
        raise WeakPassword(message, fields=[FieldError("password", "weak", message)]) from error
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            # Whoever may do this holds the machine: nobody else has to confirm the address.
            keep_address(user, is_verified=True)
    except IntegrityError as error:
        raise EmailTaken from error
    return user
