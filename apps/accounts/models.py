"""People and their keys."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from apps.core.ids import uuid7
from apps.core.tenancy import OrgOwnedModel


class UserManager(BaseUserManager["User"]):
    """Finds people by e-mail address, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """As Django's sign-in asks for it."""
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A person who may sign in. For services; also Django's own entry point."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person. People are global: one account can belong to several organizations.

    A service account is a user too, of one organization: it has API keys and cannot sign in.
    """

    class Kind(models.TextChoices):
        """Whether somebody can sign in."""

        PERSON = "person"
        SERVICE = "service"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=150, blank=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)
    # Raised to end everything that was issued before: tokens carry the number they were made at.
    access_version = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "accounts_user"
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="accounts_user_email"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["person", "service"]), name="accounts_user_kind"
            ),
        ]

    def __str__(self) -> str:
        return self.email


class ApiKey(OrgOwnedModel):
    """A key with which a person's programs act in one organization, within its scopes."""

    visible_by: ClassVar[dict[str, str]] = {"secret_hash": "app.credential"}

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20)
    secret_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "accounts_api_key"
        verbose_name = "API key"
        indexes: ClassVar = [
            models.Index(fields=["organization", "user", "id"], name="api_key_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
