"""From tokens to a tree: the subset of AIP-160 that docs/reference/filters.md describes.

filter   = sequence { "AND" sequence }
sequence = factor { factor }                  side by side means AND
factor   = term { "OR" term }                 OR binds closer than AND
term     = [ "NOT" | "-" ] ( clause | word | "(" filter ")" )
clause   = field operator value
field    = NAME | NAME "." key | NAME "(" key ")"
"""

from collections.abc import Sequence
from typing import NoReturn

from apps.core.filters.errors import FilterError
from apps.core.filters.fields import Field, Fields
from apps.core.filters.kinds import BadValue
from apps.core.filters.lexer import Shape, Token, quoted, tokens_of
from apps.core.filters.literals import Literal
from apps.core.filters.syntax import And, Clause, Node, Not, Or, Word, leaves

MAX_DEPTH = 16
MAX_CLAUSES = 100
_KEYWORDS = ("AND", "OR", "NOT")


def parsed(text: str, fields: Fields) -> Node:
    """The tree of a filter. Raises `FilterError`."""
    return _Parser(tokens_of(text), fields).whole()


class _Parser:
    def __init__(self, tokens: Sequence[Token], fields: Fields) -> None:
        self.tokens, self.fields = list(tokens), fields
        self.at = self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def whole(self) -> Node:
        root = self.filter()
        if self.token.shape is not Shape.END:
            self.fail(
                'There is no "(" for this' if self.token.shape is Shape.CLOSE else "Unexpected"
            )
        for number, leaf in enumerate(leaves(root)):
            if number == MAX_CLAUSES:
                text = f"A filter has at most {MAX_CLAUSES} comparisons; one more"
                raise FilterError(leaf.column, text)
        return root

    def filter(self) -> Node:
        found = self.sequence()
        while self.is_keyword("AND"):
            self.take()
            found += self.sequence()
        return found[0] if len(found) == 1 else And(tuple(found))

    def sequence(self) -> list[Node]:
        found = [self.factor()]
        while self.token.shape not in (Shape.END, Shape.CLOSE) and not self.is_keyword("AND"):
            found.append(self.factor())
        return found

    def factor(self) -> Node:
        found = [self.term()]
        while self.is_keyword("OR"):
            self.take()
            found.append(self.term())
        return found[0] if len(found) == 1 else Or(tuple(found))

    def term(self) -> Node:
        if self.is_keyword("NOT"):
            self.take()
            return Not(self.simple())
        if self.token.shape is Shape.TEXT and self.token.text.startswith("-"):
            self.drop_minus()
            return Not(self.simple())
        return self.simple()

    def drop_minus(self) -> None:
        token = self.token
        rest = Token(Shape.TEXT, token.text[1:], token.column + 1, token.end, token.is_prefix)
        if rest.text or rest.is_prefix:
            self.tokens[self.at] = rest
        elif token.touches(self.tokens[self.at + 1]):
            self.at += 1
        else:
            self.fail('A "-" stands right before what must not hold')

    def simple(self) -> Node:
        if self.token.shape is Shape.OPEN:
            return self.group()
        if not self.token.is_value or self.is_keyword(*_KEYWORDS):
            self.fail("Expected a comparison here" if self.token.shape is not Shape.END else
                      "The filter ends where a comparison is expected")  # fmt: skip
        return self.comparison()

    def group(self) -> Node:
        opening = self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FilterError(opening.column, f"Parentheses lie at most {MAX_DEPTH} deep; this one")
        found = self.filter()
        if self.token.shape is not Shape.CLOSE:
            raise FilterError(opening.column, 'There is no ")" for this')
        self.take()
        self.depth -= 1
        return found

    def comparison(self) -> Node:
        first = self.take()
        if first.shape is Shape.TEXT:
            if self.token.shape is Shape.OPEN and first.touches(self.token):
                return self.clause(*self.called(first), first)
            if first.text.endswith(".") and self.token.shape is Shape.STRING:
                return self.clause(*self.member(first, self.take()), first)
        if self.token.shape is not Shape.OPERATOR:
            return self.word(first)
        if first.shape is Shape.STRING:
            suggestion = first.text if self.fields.find(first.text) else ""
            raise _error(first, "The name of a field is not quoted:", suggestion)
        return self.clause(*self.field(first), first)

    def field(self, token: Token) -> tuple[Field, str]:
        if found := self.fields.find(token.text):
            return found, ""
        name, dot, key = token.text.partition(".")
        keyed = self.fields.find_keyed(name, "member")
        if keyed and key:
            return keyed, key
        self.unknown(token)

    def member(self, name: Token, key: Token) -> tuple[Field, str]:
        found = self.fields.find_keyed(name.text[:-1], "member")
        if found is None or not name.touches(key) or not key.text or key.is_prefix:
            self.unknown(name)
        return found, key.text

    def called(self, name: Token) -> tuple[Field, str]:
        found = self.fields.find_keyed(name.text, "function")
        if found is None:
            self.unknown(name, "function")
        self.take()
        key = self.take()
        if not key.is_value or not key.text or key.is_prefix:
            raise _error(key, f"{name.text}() takes one name in quotation marks, not this")
        if self.take().shape is not Shape.CLOSE:
            raise _error(key, f"{name.text}() takes one name and a closing parenthesis after it")
        return found, key.text

    def unknown(self, token: Token, what: str = "field") -> NoReturn:
        found = self.fields.by_name.get(token.text)
        suggestion = found.written("KEY") if found else self.fields.nearest(token.text)
        raise _error(token, f'Unknown {what} "{token.text[:60]}"', suggestion)

    def clause(self, field: Field, key: str, first: Token) -> Clause:
        operator = self.operator(field, first)
        token = self.take()
        if not token.is_value:
            raise _error(token, f"A value is expected after {operator.text}")
        if token.shape is Shape.TEXT and self.token.shape is Shape.OPERATOR:
            self.needs_quotes(token)
        literal = Literal(token.text, token.is_prefix)
        _check_star(field, operator.text, token, literal)
        try:
            value = field.kind.parsed(literal)
        except BadValue as error:
            raise _error(token, f"{field.name}: {error.problem}", error.suggestion) from None
        return Clause(field, key, operator.text, literal, value, first.column, token.end)

    def needs_quotes(self, token: Token) -> NoReturn:
        """A value such as `site=oslo`, which without quotation marks reads like a comparison."""
        text, end = token.text, token
        while end.touches(self.token) and self.token.shape in (Shape.TEXT, Shape.OPERATOR):
            end = self.take()
            text += end.text
        problem = "A value with one of = < > ! : stands in quotation marks"
        raise FilterError(token.column, problem, quoted(text), end=end.end)

    def operator(self, field: Field, first: Token) -> Token:
        token = self.take()
        known = field.kind.operators
        if token.shape is not Shape.OPERATOR:
            text = f"{field.pattern} is followed by one of {' '.join(known)}, not by this"
            raise _error(token, text)
        if token.text not in known:
            choice = ":" if "=" not in known else "="
            text = f'{field.pattern} knows {" ".join(known)} and not "{token.text}"'
            raise _error(token, text, choice if choice in known else "")
        return token

    def word(self, token: Token) -> Word:
        text = token.text
        if token.shape is Shape.TEXT:
            if text.upper() in _KEYWORDS:
                raise _error(token, f'"{text}" is written in capitals', text.upper())
            if text in self.fields.by_name:
                shown = self.fields.by_name[text].example
                raise _error(token, f'"{text}" is not compared with anything', shown)
        if not text or token.is_prefix or not self.fields.searched:
            raise _error(token, "A lone word is looked for as it is, and this one cannot be")
        return Word(Literal(text), token.column, token.end)

    def is_keyword(self, *words: str) -> bool:
        return self.token.shape is Shape.TEXT and self.token.text in words

    def fail(self, problem: str) -> NoReturn:
        raise _error(self.token, problem)


def _check_star(field: Field, operator: str, token: Token, literal: Literal) -> None:
    """A `*` means "any" after `:`, and "begins so" after `=` of texts."""
    if operator == ":" and not field.kind.has_parts and not literal.is_any:
        raise _error(token, f"{field.pattern}: takes * only, not this")
    if not literal.is_prefix:
        return
    if literal.is_any:
        is_good, hint = operator == ":", f"{field.pattern}:*"
    else:
        is_good = field.kind.has_prefix and operator in ("=", "!=")
        hint = f"{field.pattern} = {literal}" if field.kind.has_prefix else quoted(token.text)
    if not is_good or (literal.is_any and ":" not in field.kind.operators):
        raise _error(token, 'A "*" has no meaning here', hint if is_good is False else "")


def _error(token: Token, problem: str, suggestion: str = "") -> FilterError:
    return FilterError(token.column, problem, suggestion, end=token.end)
