"""API keys in the admin: one's own, as everywhere. People are in the organizations' admin."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from apps.accounts.models import ApiKey
from apps.accounts.permissions import CREATE_API_KEY, REVOKE_API_KEY, VIEW_API_KEYS
from apps.accounts.services.api_keys import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    create_api_key,
    revoke_api_key,
)
from apps.core.org_admin.cells import when
from apps.core.org_admin.forms import OrgForm
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of


class NewApiKeyForm(OrgForm):
    """What a new key is for, what it may do, and until when."""

    scopes = forms.MultipleChoiceField(
        required=False, help_text="What its programs may do; none chosen means all that you may."
    )
    lifetime_days = forms.IntegerField(
        min_value=1, max_value=MAX_LIFETIME.days, initial=DEFAULT_LIFETIME.days
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = sorted(actor_of(self.request).permissions)
        self.fields["scopes"].choices = [(name, name) for name in held]  # type: ignore[attr-defined]
        self.fields["scopes"].widget.attrs["size"] = 12


@admin.register(ApiKey)
class ApiKeyAdmin(OrgModelAdmin):
    """The caller's own keys; their secrets are shown once, when they are made."""

    view_permission = VIEW_API_KEYS
    add_permission = CREATE_API_KEY
    list_display = ("name", "prefix", "expires", "last_used", "is_usable")
    ordering = ("-id",)
    sortable_by = ()
    add_form = NewApiKeyForm
    add_fields = ("name", "scopes", "lifetime_days")
    hidden_fields = ("user",)
    operations = (
        Operation(
            "revoke_api_key",
            "Revoke",
            REVOKE_API_KEY,
            lambda actor, key, _values: revoke_api_key(actor, key.pk),
            warning="Programs that use the key are refused at once. There is no way back.",
            applies=lambda key: key.revoked_at is None,
        ),
    )

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """One's own: nobody may see the keys of others."""
        return super().rows(request).filter(user_id=actor_of(request).user_id)

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the key."""
        values = form.cleaned_data
        made = create_api_key(
            actor_of(request),
            name=values["name"],
            scopes=values["scopes"],
            lifetime=timedelta(days=values["lifetime_days"]),
        )
        self.reveal(request, made.secret)
        return made.api_key

    def response_add(self, request: Any, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """Shows the secret, once."""
        return self.secret_page(request, obj, "It acts as you, in this organization only.")

    @admin.display(description="expires")
    def expires(self, key: ApiKey) -> SafeString:
        """When it ends by itself."""
        return when(key.expires_at, future=True)

    @admin.display(description="last used")
    def last_used(self, key: ApiKey) -> SafeString:
        """When a program last used it."""
        return when(key.last_used_at)

    @admin.display(boolean=True, description="usable")
    def is_usable(self, key: ApiKey) -> bool:
        """Whether it has not been revoked."""
        return key.revoked_at is None
