"""Every table belongs to an organization, or is on the short list of global ones."""

from django.apps import apps

from apps.core.guards import tenant_models
from apps.core.tenancy import OrgOwnedModel, TenantForeignKey, TenantOneToOneField

GLOBAL = {
    "core.InstalledGuard": "what the guards have installed",
    "accounts.User": "a person can belong to several organizations",
    "accounts.SigningKey": "signs the access tokens of the whole installation",
    "accounts.RefreshFamily": "a person's sign-in, before and across organizations",
    "accounts.RefreshToken": "belongs to such a sign-in",
    "accounts.ServiceToken": "the platform's own services, above organizations",
    "accounts.DeviceAuthorization": "nobody is known until somebody approves it",
    "organizations.Organization": "the tenant itself",
    "organizations.SetupCode": "exists only before the first organization",
}


def test_every_model_is_owned_by_an_organization_or_listed() -> None:
    ours = [m for m in apps.get_models() if m.__module__.startswith("apps.")]
    free = {m._meta.label for m in ours if not issubclass(m, OrgOwnedModel)}
    assert free == set(GLOBAL)


def test_links_between_tenant_rows_are_tenant_keys() -> None:
    loose = [
        f"{model.__name__}.{field.name}"
        for model in tenant_models()
        for field in model._meta.local_fields
        if field.remote_field
        and issubclass(field.remote_field.model, OrgOwnedModel)
        and not isinstance(field, TenantForeignKey | TenantOneToOneField)
    ]
    assert loose == []


def test_tenant_models_have_no_implicit_many_to_many_tables() -> None:
    assert [m.__name__ for m in tenant_models() if m._meta.local_many_to_many] == []
