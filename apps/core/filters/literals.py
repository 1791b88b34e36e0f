"""What a comparison is with: a text, the beginning of one, or anything at all (`*`)."""

from dataclasses import dataclass

from apps.core.filters.lexer import quoted


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it was written, without its quotation marks."""

    text: str
    is_prefix: bool = False

    @property
    def is_any(self) -> bool:
        """A lone `*`: whether there is a value."""
        return self.is_prefix and not self.text

    def __str__(self) -> str:
        return "*" if self.is_any else quoted(self.text, is_prefix=self.is_prefix)
