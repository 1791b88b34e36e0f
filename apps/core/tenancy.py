"""Tenancy: rows belong to one organization, in Python and once more in PostgreSQL.

`OrgOwnedModel` is the base of every tenant table. `tenant()` is the one way to work in an
organization. `install_guards()` runs after migrations and derives row level security, tenant keys
and composite foreign keys from the models, so that no table can be forgotten.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar, cast
from uuid import UUID

from django.db import connection, models, transaction

from apps.core.ids import uuid7

ORGANIZATION_SETTING = "app.org_id"
CREDENTIAL_SETTING = "app.credential"
PERSON_SETTING = "app.user_id"

M = TypeVar("M", bound=models.Model)


class UnscopedQuery(RuntimeError):
    """Code asked a tenant table for rows without saying whose."""


class TenantMismatch(RuntimeError):
    """Code that works in one organization entered another one."""


class OrgManager(models.Manager[M]):
    """Answers `.for_org(organization_id)` and nothing else."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Always raises: there is no query without an organization."""
        raise UnscopedQuery(f"{self.model.__name__}.objects needs .for_org(organization_id)")

    def for_org(self, organization_id: UUID) -> Any:
        """The organization's rows, as the model's own queryset class."""
        return super().get_queryset().filter(organization_id=organization_id)


class OrgOwnedModel(models.Model):
    """A row that belongs to one organization.

    `visible_by` lets one row through row security before the organization is known: it maps a
    column to the setting that must hold its value (a secret's hash, the person's own id).
    `append_only` tables can be neither updated nor deleted from by the application. A large table
    that no other one links to can do without its tenant key, one index less to keep.
    """

    visible_by: ClassVar[dict[str, str]] = {}
    append_only: ClassVar[bool] = False
    has_tenant_key: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The tenant key (organization_id, id) that `install_guards` adds is the index.
    organization = models.ForeignKey(
        "organizations.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )

    objects: ClassVar[OrgManager[Any]] = OrgManager()
    unscoped: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        default_manager_name = "unscoped"
        base_manager_name = "unscoped"


class TenantForeignKey(models.ForeignKey[Any, Any]):
    """A foreign key between tenant rows of the same organization.

    Django's one-column constraint is left out; `install_guards` adds the composite one over
    (organization_id, this column), so that the database refuses a link across organizations.
    """

    def __init__(self, to: Any, on_delete: Any = models.PROTECT, **kwargs: Any) -> None:
        kwargs["db_constraint"] = False
        super().__init__(to, on_delete, **kwargs)

    def deconstruct(self) -> Any:
        """As Django stores it in migrations."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_constraint", None)
        return name, path, args, kwargs


class TenantOneToOneField(models.OneToOneField[Any, Any]):
    """`TenantForeignKey` with at most one row on this side."""

    def __init__(self, to: Any, on_delete: Any = models.PROTECT, **kwargs: Any) -> None:
        kwargs["db_constraint"] = False
        super().__init__(to, on_delete, **kwargs)

    def deconstruct(self) -> Any:
        """As Django stores it in migrations."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_constraint", None)
        return name, path, args, kwargs


@contextmanager
def tenant(organization_id: UUID) -> Iterator[None]:
    """Database work for one organization: a transaction that sees and writes only its rows.

    Entering the same organization again nests; entering another one raises `TenantMismatch`.
    """
    current = _settings().get(ORGANIZATION_SETTING)
    if current is not None and current != str(organization_id):
        raise TenantMismatch(f"already in organization {current}")
    with _setting(ORGANIZATION_SETTING, str(organization_id)):
        yield


@contextmanager
def visiting(organization_id: UUID) -> Iterator[None]:
    """A step into another organization from within one, and back.

    Only for what is nobody's but the installation's (a superuser suspends an organization) and for
    people who go from one organization to another (they make one, they accept an invitation).
    """
    with _setting(ORGANIZATION_SETTING, str(organization_id)):
        yield


@contextmanager
def credential(secret_hash: str) -> Iterator[None]:
    """Lets through the one row whose secret hashes to `secret_hash`, of any organization."""
    with _setting(CREDENTIAL_SETTING, secret_hash):
        yield


@contextmanager
def person(user_id: UUID) -> Iterator[None]:
    """Lets through the memberships of one person, of any organization."""
    with _setting(PERSON_SETTING, str(user_id)):
        yield


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    """A transaction in which the database setting `name` holds `value`.

    The setting is local to the transaction. Inside an outer one it would survive this block, so
    the old value is put back; a roll back to the savepoint does that by itself. What runs after a
    commit still stands in the block, but in a new transaction, which has been told nothing.
    """
    held = _settings()
    previous = held.get(name)
    nested = connection.in_atomic_block
    held[name] = value
    try:
        with transaction.atomic():
            if not nested or previous != value:
                _set_config(name, value)
            yield
        if nested and previous != value:
            _set_config(name, previous or "")
    finally:
        if previous is None:
            held.pop(name, None)
        else:
            held[name] = previous


def _settings() -> dict[str, str]:
    """What this thread's connection has been told, by setting name."""
    wrapper = cast(Any, connection)
    if not hasattr(wrapper, "fleetd_settings"):
        wrapper.fleetd_settings = {}
    return cast(dict[str, str], wrapper.fleetd_settings)


def _set_config(name: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
