"""People and their keys."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from apps.core.ids import uuid7
from apps.core.tenancy import OrgOwnedModel, TenantForeignKey


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
            # Django's mark of a password that nothing matches.
            models.CheckConstraint(
                condition=Q(kind="person") | Q(("password__startswith", "!")),
                name="accounts_service_has_no_password",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def set_password(self, raw_password: str | None) -> None:
        """A new password ends every session and token that was issued under the old one."""
        super().set_password(raw_password)
        if not self._state.adding:
            self.access_version += 1

    def check_password(self, raw_password: str | None) -> bool:
        """As Django's; hashing the same password better is no change of it."""

        def keep(raw: str) -> None:
            self.password = make_password(raw)
            self.save(update_fields=["password"])

        return check_password(raw_password, self.password, keep)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a browser's session must still match: the password and the access version."""
        held = f"{self.password}:{self.access_version}"
        return salted_hmac("fleetd.session", held, secret=secret, algorithm="sha256").hexdigest()


class ApiKey(OrgOwnedModel):
    """A key with which a person's programs act in one organization, within its scopes."""

    visible_by: ClassVar[dict[str, str]] = {
        "secret_hash": "app.credential",
        "previous_hash": "app.credential",
    }

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20)
    secret_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_address = models.CharField(max_length=45, blank=True, default="")
    networks = ArrayField(models.CharField(max_length=43), default=list, blank=True)
    # The key that made this one: it cannot be outlived.
    parent = TenantForeignKey("self", on_delete=models.CASCADE, null=True, related_name="+")
    # After a rotation the secret before it works a little longer.
    previous_hash = models.CharField(max_length=64, blank=True, default="")
    previous_until = models.DateTimeField(null=True)
    rotated_at = models.DateTimeField(null=True)

    class Meta(OrgOwnedModel.Meta):
        db_table = "accounts_api_key"
        verbose_name = "API key"
        indexes: ClassVar = [
            models.Index(fields=["organization", "user", "id"], name="api_key_by_user"),
            models.Index(
                fields=["previous_hash"], condition=~Q(previous_hash=""), name="api_key_by_previous"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SigningKey(models.Model):
    """A key that signs access tokens; its private half is sealed."""

    class State(models.TextChoices):
        """Published before it signs, signing, and published until its last token has ended."""

        NEXT = "next"
        ACTIVE = "active"
        RETIRED = "retired"

    kid = models.CharField(primary_key=True, max_length=40)
    public_key = models.CharField(max_length=64)
    sealed_private_key = models.TextField()
    state = models.CharField(max_length=10, choices=State)
    created_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "accounts_signing_key"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["next", "active", "retired"]), name="signing_key_state"
            ),
            models.UniqueConstraint(
                fields=["state"], condition=~Q(state="retired"), name="signing_key_one_of_each"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kid} ({self.state})"


class RefreshFamily(models.Model):
    """One sign-in of a person's program: all refresh tokens that followed from it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    # The organization that its tokens are bound to; none where the person chooses per call.
    bound_to = models.ForeignKey(
        "organizations.Organization", on_delete=models.CASCADE, null=True, related_name="+"
    )
    client = models.CharField(max_length=100)
    methods = ArrayField(models.CharField(max_length=20), default=list)
    authenticated_at = models.DateTimeField()
    access_version = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    last_address = models.CharField(max_length=45, blank=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=20, blank=True)

    class Meta:
        db_table = "accounts_refresh_family"
        verbose_name = "sign-in"
        indexes: ClassVar = [models.Index(fields=["user", "id"], name="refresh_family_by_user")]

    def __str__(self) -> str:
        return self.client


class RefreshToken(models.Model):
    """One refresh token of a family, by its hash. Used ones stay, so that reuse is noticed."""

    family = models.ForeignKey(RefreshFamily, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    issued_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    # With the token itself, this gives its successor again for a short while.
    successor_seed = models.CharField(max_length=64, blank=True)

    class Meta:
        db_table = "accounts_refresh_token"

    def __str__(self) -> str:
        return f"token of {self.family_id}"


class ServiceToken(models.Model):
    """A token with which one of the platform's own services calls another."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20)
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "accounts_service_token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class DeviceAuthorization(models.Model):
    """A program's request to be signed in by a person elsewhere (RFC 8628). Lives ten minutes."""

    class State(models.TextChoices):
        """Waiting for a person, decided, and used up."""

        PENDING = "pending"
        APPROVED = "approved"
        DENIED = "denied"
        REDEEMED = "redeemed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    device_code_hash = models.CharField(max_length=64, unique=True)
    user_code_hash = models.CharField(max_length=64, unique=True)
    client = models.CharField(max_length=100)
    address = models.CharField(max_length=45, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    interval_seconds = models.PositiveSmallIntegerField()
    last_polled_at = models.DateTimeField(null=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    bound_to = models.ForeignKey(
        "organizations.Organization", on_delete=models.CASCADE, null=True, related_name="+"
    )
    methods = ArrayField(models.CharField(max_length=20), default=list)
    authenticated_at = models.DateTimeField(null=True)
    access_version = models.PositiveIntegerField(null=True)

    class Meta:
        db_table = "accounts_device_authorization"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "approved", "denied", "redeemed"]),
                name="device_authorization_state",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "redeemed"])
                | Q(user__isnull=False, bound_to__isnull=False),
                name="device_authorization_approver",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client} from {self.address}"
