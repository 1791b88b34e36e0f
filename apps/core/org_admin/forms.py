"""Forms of the admin: selects are scoped, refusals of services appear where they belong."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.admin import AdminSite
from django.http import HttpRequest

from apps.core.errors import FleetdError
from apps.core.org_admin.scoping import scope_choices
from apps.core.web import add_failure

if TYPE_CHECKING:
    _Base = forms.ModelForm[Any]
    _ChoiceField = forms.ModelChoiceField[Any]
    _MultipleChoiceField = forms.ModelMultipleChoiceField[Any]
else:
    _Base = forms.ModelForm
    _ChoiceField = forms.ModelChoiceField
    _MultipleChoiceField = forms.ModelMultipleChoiceField


class OrgForm(_Base):
    """The form of every `OrgModelAdmin`, bound to one request by `get_form`.

    The form only reads what was sent; the service decides. When it refused, the form is built once
    more with the refusal, and so shows it beside what was typed.
    """

    site: ClassVar[AdminSite]
    request: ClassVar[HttpRequest]
    refusal: ClassVar[FleetdError | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scope_choices(self, self.site, self.request)

    def clean(self) -> dict[str, Any] | None:
        """Adds the service's refusal, if there was one."""
        cleaned = super().clean()
        if self.refusal:
            add_failure(self, self.refusal)
        return cleaned


class RowField(_ChoiceField):
    """A choice among the caller's rows of a model."""

    def __init__(self, model: Any, **options: Any) -> None:
        # Unscoped: nothing is asked here; `scope_choices` sets the rows for each request.
        super().__init__(queryset=model.unscoped.none(), **options)


class RowsField(_MultipleChoiceField):
    """A choice of several of the caller's rows of a model."""

    def __init__(self, model: Any, **options: Any) -> None:
        # Unscoped: nothing is asked here; `scope_choices` sets the rows for each request.
        super().__init__(queryset=model.unscoped.none(), **options)


class WordsField(forms.CharField):
    """Words separated by commas or white space, as a list: tags, percentages."""

    def to_python(self, value: Any) -> Any:
        """The words in order, without repeats."""
        if isinstance(value, list | tuple):
            return list(value)
        text = super().to_python(value) or ""
        return list(dict.fromkeys(text.replace(",", " ").split()))

    def prepare_value(self, value: Any) -> Any:
        """As it is typed."""
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def run_validators(self, value: Any) -> None:
        """Lengths are checked on the text, word by word by the service."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares lists, not spellings."""
        return bool(list(initial or []) != self.to_python(data))


def rows_of(formsets: Sequence[Any]) -> list[dict[str, Any]]:
    """The cleaned values of the rows typed into the parts of a form; empty rows are left out."""
    return [
        part.cleaned_data
        for formset in formsets
        for part in formset.forms
        if part.has_changed() and part.cleaned_data
    ]
