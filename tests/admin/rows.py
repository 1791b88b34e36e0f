"""Rows of every table, made from the models: a table added tomorrow is tested tomorrow."""

from itertools import count
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission
from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.accounts.models import User
from apps.audit.models import AuditHead
from apps.core import clock
from apps.core.guards import tenant_models
from apps.core.tenancy import OrgOwnedModel, tenant
from apps.devices.models import DeviceCount
from apps.organizations.models import Membership
from apps.updates.domain import engine

_numbers = count(1)

# Columns whose values the product reads back.
SPECIAL = {
    "snapshot": engine.dump(engine.RolloutStatus()),
    "since": 0,
    "custom_role": None,
    "filter": "",
}


class Rows:
    """One row of every tenant table of an organization; every text in them holds `mark`."""

    def __init__(self, organization_id: UUID, mark: str, user: User) -> None:
        self.organization_id = organization_id
        self.mark = mark
        self.user = user
        self.made: dict[type[models.Model], Any] = {}
        with tenant(organization_id):
            for model in tenant_models():
                self.row(model)

    def row(self, model: type[models.Model]) -> Any:
        """The row of this table, made on demand with what it depends on."""
        if model not in self.made:
            self.made[model] = self._present(model) or self._make(model)
        return self.made[model]

    def made_row(self, name: str) -> Any:
        """The row of the table whose model is called `name`."""
        return self.made[self.made_model(name)]

    def made_model(self, name: str) -> type[models.Model]:
        """The model that is called `name`."""
        return next(model for model in self.made if model.__name__ == name)

    def _present(self, model: type[models.Model]) -> Any:
        """What an organization has only once, and may have already."""
        if model not in (AuditHead, DeviceCount, Membership):
            return None
        return model.objects.for_org(self.organization_id).first()

    def _make(self, model: type[models.Model]) -> Any:
        values = {
            field.name: self._value(field)
            for field in model._meta.concrete_fields
            if field.name != "organization" and not (field.primary_key and field.has_default())
        }
        made = model(organization_id=self.organization_id, **values)
        made.save(force_insert=True)
        return made

    def _value(self, field: Any) -> Any:
        if field.name in SPECIAL:
            return SPECIAL[field.name]
        if field.null and field.related_model is field.model:
            return None
        if field.is_relation:
            return self._related(field)
        if field.choices:
            return field.choices[0][0]
        if field.null:
            return None
        if isinstance(field, ArrayField):
            is_text = isinstance(field.base_field, models.CharField)
            return [self.mark] if is_text else []
        return self._plain(field)

    def _related(self, field: Any) -> Any:
        """A row to point at; a right that is granted is one on what it is granted on."""
        if field.related_model is User:
            return self.user
        if field.related_model is Permission:
            granted_on = field.model._meta.get_field("content_object").related_model
            return Permission.objects.filter(
                content_type__app_label=granted_on._meta.app_label,
                content_type__model=granted_on._meta.model_name,
            ).last()
        if issubclass(field.related_model, OrgOwnedModel):
            return self.row(field.related_model)
        return field.related_model.objects.get(id=self.organization_id)

    def _plain(self, field: Any) -> Any:
        match field:
            case models.CharField() | models.TextField():
                return f"{self.mark}{next(_numbers)}"[: field.max_length or 100]
            case models.JSONField():
                return {"note": self.mark}
            case models.DateTimeField():
                return clock.now()
            case models.BooleanField():
                return False
            case models.BinaryField():
                return self.mark.encode()
            case models.FloatField():
                return 0.5
            case _:
                return 1


def snapshot(organization_id: UUID) -> dict[str, list[Any]]:
    """Everything that an organization has, to be compared with what it has later."""
    with tenant(organization_id):
        return {
            model._meta.label: sorted(map(repr, _values(model, organization_id)))
            for model in tenant_models()
        }


def _values(model: type[OrgOwnedModel], organization_id: UUID) -> list[Any]:
    # Looking at a page says that its reader is there: that is no change of anything shown.
    names = [f.attname for f in model._meta.concrete_fields if f.name != "last_active_at"]
    return [
        [bytes(v) if isinstance(v, memoryview) else v for v in row]
        for row in model.objects.for_org(organization_id).values_list(*names)
    ]
