"""Rows made from the models, for tables that no service has filled: a new table is not forgotten.

Every text in them holds the organization's mark.
"""

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from tuf.api.metadata import Metadata, Root

from apps.accounts.models import User
from apps.accounts.services.second_factors import seal_secret
from apps.core import clock
from apps.core.guards import EMPTY_TABLES, tenant_models
from apps.core.tenancy import OrgOwnedModel
from apps.updates.domain import engine

_numbers = count(1)

# Columns whose values the product reads back.
AUTHENTICATORS = "mfa_authenticator"
SPECIAL = {"snapshot": engine.dump(engine.RolloutStatus())}
SIGNING_METADATA = "updates_signing_metadata"


class RowMaker:
    """Finds or makes one row of each table for an organization, inside its tenant."""

    def __init__(self, organization_id: UUID, mark: str, user: User) -> None:
        self.organization_id = organization_id
        self.mark = mark
        self.user = user
        self.made: dict[type[models.Model], Any] = {}
        self.failures: dict[type[models.Model], str] = {}

    def fill(self) -> None:
        """Sees to it that no tenant table is empty; what cannot be made is in `failures`."""
        for model in tenant_models():
            self.fill_one(model)

    def fill_one(self, model: type[models.Model]) -> None:
        """The same for one table, whoever it belongs to."""
        if model._meta.db_table in EMPTY_TABLES:
            return
        try:
            with transaction.atomic():
                self.row(model)
        except Exception as error:  # noqa: BLE001  a table that cannot be filled is named
            self.failures[model] = f"{type(error).__name__}: {str(error).splitlines()[0]}"

    def row(self, model: type[models.Model]) -> Any:
        """A row of this table: one that is there, else a new one with what it depends on."""
        if model not in self.made:
            self.made[model] = self._present(model) or self._make(model)
        return self.made[model]

    def _present(self, model: type[models.Model]) -> Any:
        if issubclass(model, OrgOwnedModel):
            return model.objects.for_org(self.organization_id).order_by("pk").first()
        if any(field.related_model is User for field in model._meta.concrete_fields):
            return model._default_manager.filter(user=self.user).first()
        return model._default_manager.first()

    def _make(self, model: type[models.Model]) -> Any:
        values = {
            field.name: self._value(field)
            for field in model._meta.concrete_fields
            if field.name != "organization" and not _is_given(field)
        }
        if issubclass(model, OrgOwnedModel):
            values["organization_id"] = self.organization_id
        if model._meta.db_table == AUTHENTICATORS:
            values |= {"type": "totp", "data": {"secret": seal_secret("JBSWY3DPEHPK3PXP")}}
        if model._meta.db_table == SIGNING_METADATA:
            values["content"] = self._root()
        made = model(**values)
        made.save(force_insert=True)
        return made

    def _root(self) -> str:
        """Root metadata of TUF, as the first role of the table needs it."""
        root = Root(expires=clock.now().replace(microsecond=0) + timedelta(days=365))
        root.unrecognized_fields["x-note"] = self.mark
        return Metadata(root).to_bytes().decode()

    def _value(self, field: Any) -> Any:
        if field.name in SPECIAL:
            return SPECIAL[field.name]
        if field.is_relation:
            if field.related_model is User:
                return self.user
            return None if field.null else self.row(field.related_model)
        if field.choices:
            return field.choices[0][0]
        if field.null:
            return None
        if isinstance(field, ArrayField):
            is_text = isinstance(field.base_field, models.CharField)
            return [self.mark] if is_text else []
        return self._plain(field)

    def _plain(self, field: Any) -> Any:
        match field:
            case models.EmailField():
                return f"{self.mark}{next(_numbers)}@example.test"
            case models.CharField() | models.TextField():
                return f"{self.mark}{next(_numbers)}"[: field.max_length or 100]
            case models.JSONField():
                return [] if field.default is list else {"note": self.mark}
            case models.DateTimeField():
                return clock.now()
            case models.BooleanField():
                return False
            case models.BinaryField():
                return self.mark.encode()
            case models.FloatField():
                return 0.5
            case models.GenericIPAddressField():
                return "192.0.2.1"
            case models.UUIDField():
                return self.organization_id
            case _:
                return 1


def _is_given(field: Any) -> bool:
    """Whether a key comes by itself."""
    return bool(field.primary_key and (field.has_default() or isinstance(field, models.AutoField)))
