"""What is collected while a manifest is understood: problems, and where fields come from."""

from apps.updates.domain.manifest.checking import Item
from apps.updates.domain.manifest.problems import Place, Problem


class Notes:
    """Problems and places."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.places: dict[str, Place] = {}

    def refuse(self, where: Item | Place, message: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(where.place if isinstance(where, Item) else where, message))

    def refuse_field(self, field: str, message: str) -> None:
        """Notes a problem of a field of the engine, at the place that it comes from."""
        self.problems.append(Problem(self.place_of(field), message))

    def keep(self, field: str, item: Item | None) -> None:
        """Remembers where a field of the engine comes from."""
        if item is not None:
            self.places[field] = item.place

    def place_of(self, field: str) -> Place:
        """The place of a field, or of the nearest one around it."""
        while field and field not in self.places:
            field = field.rpartition(".")[0]
        return self.places.get(field, Place(path="spec"))
