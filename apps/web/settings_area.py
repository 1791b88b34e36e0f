"""The settings area: its sections, and which of them somebody may see."""

from dataclasses import dataclass, field

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core.actors import Actor


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its key, its address name, how it is shown, and the right that shows it."""

    key: str
    address: str
    icon: str
    word: str | Promise
    permission: str


@dataclass(frozen=True, slots=True)
class SectionItem:
    """A section as the list shows it."""

    key: str
    url: str
    icon: str
    word: str | Promise


@dataclass(frozen=True, slots=True)
class SectionGroup:
    """Sections under one heading."""

    heading: str | Promise
    items: list[SectionItem] = field(default_factory=list)


SEE = "organizations.view_organization"
SECTIONS: tuple[tuple[str | Promise, tuple[Section, ...]], ...] = (
    (
        _("Organization"),
        (
            Section("organization", "settings-organization", "building", _("General"), SEE),
            Section(
                "security",
                "settings-security",
                "shield",
                _("Security"),
                "organizations.view_organization_settings",
            ),
            Section(
                "signing",
                "settings-signing",
                "shield-check",
                _("Signing"),
                "updates.view_signing",
            ),
            Section(
                "cors",
                "settings-cors",
                "world",
                _("Browser access"),
                "organizations.view_organization_settings",
            ),
            Section("usage", "settings-usage", "gauge", _("Usage"), "organizations.view_usage"),
        ),
    ),
    (
        _("People"),
        (
            Section(
                "members", "settings-members", "users", _("Members"), "organizations.view_members"
            ),
            Section("teams", "settings-teams", "users-group", _("Teams"), "teams.view_teams"),
            Section("roles", "settings-roles", "user-cog", _("Roles"), "organizations.view_roles"),
            Section(
                "access",
                "settings-access",
                "user-question",
                _("Who may what"),
                SEE,
            ),
        ),
    ),
    (
        _("Programs"),
        (
            Section("api-keys", "api-keys", "key", _("API keys"), "accounts.view_api_keys"),
            Section(
                "service-accounts",
                "settings-service-accounts",
                "robot",
                _("Service accounts"),
                "accounts.view_service_accounts",
            ),
        ),
    ),
)


def settings_sections(actor: Actor) -> list[SectionGroup]:
    """The sections whose pages exist and that `actor` may see; groups without any are left out."""
    groups = []
    for heading, sections in SECTIONS:
        seen = [s for s in sections if actor.may_somewhere(s.permission)]
        items = [item for section in seen if (item := _item(section))]
        if items:
            groups.append(SectionGroup(heading, items))
    return groups


def _item(section: Section) -> SectionItem | None:
    try:
        url = reverse(section.address)
    except NoReverseMatch:
        return None
    return SectionItem(section.key, url, section.icon, section.word)
