"""Template tags of the design system: states, times, bars, icons, copies."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from apps.updates.domain.gate import Counts
from apps.updates.selectors.signing import allows_unsigned
from apps.web import vocabulary
from apps.web.device_steps import way_of

register = template.Library()

_SCALE = 1000


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a segmented bar: how many, which word, which tone."""

    tone: str
    word: str | Promise
    count: int


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """An icon of the sprite; decoration only, so it is hidden from assistive technology."""
    href = f"{static('dist/icons.svg')}#{name}"
    return format_html(
        '<svg class="icon icon-{} {}" aria-hidden="true"><use href="{}"></use></svg>',
        name,
        css,
        href,
    )


@register.simple_tag(takes_context=True)
def trial_mode(context: Any) -> bool:
    """Whether the reader's organization lets devices install what nobody signed."""
    actor: Any = getattr(context.get("request"), "actor", None)
    return bool(actor) and allows_unsigned(actor.organization_id)


@register.simple_tag
def connectivity(value: str, css: str = "") -> SafeString:
    """A device's connectivity as shape, word and colour."""
    word = vocabulary.CONNECTIVITY.get(value, value)
    return format_html(
        '<span class="state {}" data-state="{}"><span class="state-dot" aria-hidden="true"></span>'
        '<span class="state-word">{}</span></span>',
        css,
        value,
        word,
    )


@register.simple_tag
def badge(kind: str, value: str) -> SafeString:
    """A state of a lifecycle, rollout, deployment, token or release as a badge."""
    shown = vocabulary.look(kind, value)
    return tone_badge(shown.tone, shown.word, shown.icon)


@register.simple_tag
def badge_word(kind: str, value: str) -> str:
    """The word of a state, with the colon that introduces its reason."""
    return f"{vocabulary.look(kind, value).word}:"


@register.simple_tag
def tone_badge(tone: str, word: str | Promise, icon_name: str = "circle") -> SafeString:
    """A badge with any word; the icon keeps it readable without colour."""
    return format_html(
        '<span class="badge" data-tone="{}">{}<span>{}</span></span>', tone, icon(icon_name), word
    )


@register.simple_tag
def when(moment: datetime | None, empty: str = "", future: bool = False) -> SafeString | str:
    """A moment, relative in the text and absolute on hover; the script keeps it ticking."""
    if moment is None:
        return empty
    return format_html(
        '<time datetime="{}" data-relative="{}">{}</time>',
        moment.isoformat(),
        "future" if future else "past",
        date_format(localtime(moment), "SHORT_DATETIME_FORMAT"),
    )


@register.inclusion_tag("components/segments.html")
def segments(parts: Iterable[Segment], size: str = "", text: bool = True) -> dict[str, Any]:
    """A segmented bar with its numbers in words; drawn in SVG, as the policy allows no styles."""
    shown = list(parts)
    total = sum(part.count for part in shown)
    return {
        "parts": [part for part in shown if part.count],
        "shapes": list(_shapes(shown, total)),
        "total": total,
        "size": size,
        "text": text,
        "label": _label(shown, total),
    }


def _shapes(parts: Iterable[Segment], total: int) -> Iterable[dict[str, Any]]:
    """Rectangles that fill the bar; each starts where the rounded one before it ends."""
    done = 0
    for part in parts:
        start = round(_SCALE * done / total) if total else 0
        done += part.count
        end = round(_SCALE * done / total) if total else 0
        yield {"tone": part.tone, "x": start, "width": end - start}


def _label(parts: Iterable[Segment], total: int) -> str:
    words = ", ".join(f"{part.count} {part.word}" for part in parts if part.count)
    return _("%(words)s of %(total)s") % {"words": words or "0", "total": total}


@register.inclusion_tag("components/meter.html")
def meter(label: str, value: float | None, text: str = "", warn: int = 80) -> dict[str, Any]:
    """One reading in per cent as a bar with its number; over `warn` it says so by tone and word."""
    width = min(max(value or 0.0, 0.0), 100.0)
    tone = "bad" if width >= 95 else "warn" if width >= warn else "ok"
    return {"label": label, "value": value, "width": round(width * 10), "tone": tone, "text": text}


@register.simple_tag
def share_bar(count: int, total: int) -> SafeString:
    """A plain bar for one share of a total."""
    width = round(_SCALE * count / total) if total else 0
    return format_html(
        '<svg viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="0" y="0" width="{}" height="8"></rect></svg>',
        width,
    )


@register.simple_tag
def copy_button(text: Any, label: str = "") -> SafeString:
    """A button that copies `text`."""
    name = label or _("Copy")
    return format_html(
        '<button type="button" class="copy-btn" data-copy="{}" aria-label="{}" title="{}">{}'
        "</button>",
        text,
        name,
        name,
        icon("copy"),
    )


@register.simple_tag
def short_id(value: Any) -> SafeString:
    """An identifier's last part, with the whole of it on hover and in the copy button."""
    text = str(value)
    return format_html(
        '<span class="copyable"><code class="mono" title="{}">…{}</code>{}</span>',
        text,
        text[-8:],
        copy_button(text),
    )


@register.simple_tag
def tags(values: Any) -> SafeString:
    """Tags of a device or token: a list of words, or a mapping of names to values."""
    pairs = values.items() if isinstance(values, dict) else [(value, "") for value in values or ()]
    words = (
        (f"{name}={value}" if value not in ("", True, None) else name,) for name, value in pairs
    )
    inner = format_html_join("", '<span class="tag">{}</span>', words)
    return format_html('<span class="tags">{}</span>', inner)


@register.inclusion_tag("components/segments.html")
def progress(counts: Any, size: str = "", text: bool = True) -> dict[str, Any]:
    """The bar of a rollout or phase: anything with the counters of a phase."""
    parts = [
        Segment("ok", _("done"), counts.succeeded),
        Segment("info", _("updating"), counts.active),
        Segment("bad", _("failed"), counts.failed),
        Segment("warn", _("cancelled"), counts.cancelled),
        Segment("warn", _("skipped"), counts.skipped),
        Segment("quiet", _("waiting"), counts.waiting),
    ]
    context: dict[str, Any] = segments(parts, size, text)
    return context


@register.inclusion_tag("updates/device_steps.html")
def device_steps(deployment: Any) -> dict[str, Any]:
    """The steps of a device on its way through an update, and at which it is."""
    return {"way": way_of(deployment)}


@register.filter
def overall(rollout: Any) -> Counts:
    """A rollout's counts over all of its phases."""
    return sum(rollout.counts(), Counts())


@register.simple_tag
def installed(versions: Any, limit: int = 2) -> SafeString:
    """What is installed: component and version, the first few."""
    pairs = sorted((versions or {}).items())
    inner = format_html_join(
        "",
        '<span class="ver">{} <b>{}</b></span><br>',
        ((n, short_version(v)) for n, v in pairs[:limit]),
    )
    more = len(pairs) - limit
    rest = format_html('<span class="sub">+{}</span>', more) if more > 0 else ""
    return format_html('<span class="small">{}{}</span>', inner, rest)


@register.filter
def short_version(value: Any) -> str:
    """A version as people read it; a digest used as one is cut."""
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


@register.simple_tag
def action_icon(action: str) -> SafeString:
    """The icon of an action in a timeline."""
    return icon(vocabulary.verb_look(action)[0])


@register.filter
def action_tone(action: str) -> str:
    """The tone of an action in a timeline."""
    return vocabulary.verb_look(action)[1]


@register.filter
def action_words(action: str) -> str:
    """An action as what happened: `updates.pause_rollout` is "Paused rollout"."""
    return vocabulary.action_words(action)


@register.filter
def spoken(name: str) -> str:
    """A name of our own making as words: `verify_failed` is "Verify failed"."""
    words = str(name).replace("_", " ")
    return words[:1].upper() + words[1:]


@register.simple_tag
def change(value: Any) -> SafeString:
    """A changed field: before and after where both are known, else the value."""
    if isinstance(value, list) and len(value) == 2:
        return format_html(
            '<span class="quiet">{}</span> {} <b>{}</b>', _plain(value[0]), "→", _plain(value[1])
        )
    return format_html("{}", _plain(value))


def _plain(value: Any) -> str:
    if value in (None, "", [], {}):
        return _("nothing")
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items())
    return str(value)


@register.filter
def percent(ratio: float | None) -> float | None:
    """A ratio from 0 to 1 as per cent with one digit."""
    return None if ratio is None else round(ratio * 100, 1)


@register.filter
def duration(seconds: float | None) -> str:
    """A length of time in its two largest units."""
    left = int(seconds or 0)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


@register.filter
def hexadecimal(value: Any) -> str:
    """Bytes as hexadecimal digits."""
    return bytes(value).hex()


@register.filter
def initials(text: str) -> str:
    """Two letters that stand for a name."""
    words = str(text).replace("@", " ").replace("-", " ").split()
    return "".join(word[0] for word in words[:2]).upper() or "?"


@register.filter
def short_hash(value: Any) -> str:
    """The first twelve digits of a digest."""
    text = value.hex() if isinstance(value, bytes | memoryview) else str(value)
    return text[:12]


@register.filter
def can(actor: Any, permission: str) -> bool:
    """Whether the actor may do this to anything: hides what would be refused, guards nothing.

    On a page about one object the actor is given as an `ActorHere`, which speaks of that object.
    """
    return bool(actor is not None and actor.may_somewhere(permission))
