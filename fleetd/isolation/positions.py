"""Where a call names objects: in its path, its query, its body, at any depth."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from apps.core.rest.messages import is_message
from fleetd.isolation import hints
from fleetd.isolation.world import Side

DEEPEST = 6


@dataclass(frozen=True)
class IdField:
    """A field of a request, at some depth, that holds ids."""

    path: tuple[str, ...]
    is_list: bool

    def put(self, body: Mapping[str, Any], value: str) -> dict[str, Any]:
        """The body with this id in the field."""
        changed: dict[str, Any] = copy.deepcopy(dict(body))
        spot: Any = changed
        for name in self.path[:-1]:
            spot = spot.setdefault(name, {})
            spot = spot[0] if isinstance(spot, list) else spot
        spot[self.path[-1]] = [value] if self.is_list else value
        return changed

    def __str__(self) -> str:
        return ".".join(self.path)


def id_fields(descriptor: Descriptor, path: tuple[str, ...] = ()) -> list[IdField]:
    """Every field of a message that names other objects."""
    found: list[IdField] = []
    for field in descriptor.fields:
        here = (*path, field.name)
        inner = field.message_type
        if is_message(field) and inner is not None and len(here) < DEEPEST:
            found += id_fields(inner, here)
        elif field.type == FieldDescriptor.TYPE_STRING and names_an_object(field.name):
            found.append(IdField(here, bool(field.is_repeated)))
    return found


def names_an_object(name: str) -> bool:
    """Whether a field of this name holds ids."""
    if name in hints.NO_IDS:
        return False
    return name in ("id", "ids") or name.endswith(("_id", "_ids"))


def kinds_named(name: str, around: str = "") -> list[str]:
    """Which kinds of object a field of this name may mean, best guess first.

    `around` says what it stands in: for a plain `id`, the noun before it.
    """
    stem = name.removesuffix("s").removesuffix("_id").removesuffix("id") or around
    stem = around if around and name == "object_id" else stem
    stem = stem.partition(":")[0].replace("-", "_")
    singular = stem.removesuffix("s")
    singular = f"{singular.removesuffix('ie')}y" if stem.endswith("ies") else singular
    first, _, rest = singular.partition("_")
    known = [singular, *((rest, rest.rpartition("_")[2], first) if rest else ())]
    return [kind for each in known for kind in (*hints.ALIASES.get(each, ()), each)]


def own_candidates(side: Side, name: str, around: str = "") -> list[str]:
    """The side's ids in the order in which they may fit a field, all of them."""
    first = [value for kind in kinds_named(name, around) for value in side.of(kind)]
    others = [value for kind, value in side.ids.items() if kind.endswith("#0")]
    return list(dict.fromkeys([*first, *others]))


def foreign_ids(
    side: Side, name: str, around: str = "", *, few: bool = False, numbers: bool = False
) -> dict[str, str]:
    """The side's ids to try in a field: one of each kind, all of the kinds that it may mean.

    With `few`, only the latter and those that mean much everywhere. Ids that are plain numbers are
    tried where they are meant, or where only `numbers` can stand.
    """
    likely = {each.replace("_", "") for each in (*kinds_named(name, around), *hints.EVERYWHERE)}
    chosen = {}
    for kind, value in side.ids.items():
        is_likely = kind.partition("#")[0].replace("_", "") in likely
        is_one = not few and kind.endswith("#0") and not value.isdigit()
        if is_likely or is_one or (numbers and value.isdigit()):
            chosen[kind] = value
    return chosen


def filled(operation: str, request: Descriptor, side: Side, around: str = "") -> dict[str, Any]:
    """A request that gets as far as looking at ids: hints, known words, and own ids.

    `around` is the noun of the operation: what its plain `ids` mean.
    """
    body = copy.deepcopy(hints.BODIES.get(operation, {}))
    for field in request.fields:
        if field.name in hints.WORDS and field.name not in body and not is_message(field):
            value = hints.WORDS[field.name]
            body[field.name] = [value] if field.is_repeated else value
    given = set(_given(body))
    for place in id_fields(request):
        if place.path[0] in hints.ONE_OF.get(operation, ()):
            continue
        found = side_ids(side, place, around)
        is_wanted = len(place.path) == 1 or place.path[0] in body
        if found and is_wanted and place.path not in given:
            body = place.put(body, found[0])
    return body


def side_ids(side: Side, place: IdField, around: str = "") -> list[str]:
    """The side's ids of the kind that a field names; none for a plain `id`."""
    if place.path[-1] == "id":
        return []
    return [value for kind in kinds_named(place.path[-1], around) for value in side.of(kind)]


def _given(body: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(body, dict):
        for name, value in body.items():
            if value not in ("", []):
                yield from _given(value, (*path, name))
    elif isinstance(body, list) and body and isinstance(body[0], dict):
        yield from _given(body[0], path)
    else:
        yield path
