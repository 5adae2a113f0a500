"""How does a text become a tree? Token by token through the grammar's tables; where they refuse one, recovery helps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

from lark.exceptions import UnexpectedToken

from netdef.diagnostics import Diagnostic, Severity, Source, Span, error
from netdef.text.cst import Document, Token, TokenKind
from netdef.text.faults import explain
from netdef.text.grammar import parser
from netdef.text.lexer import tokens
from netdef.text.recovery import CLOSED_BY, mend

MAX_DEPTH = 100
"""Messages and lists inside each other; what protobuf's own readers allow."""

MAX_DIAGNOSTICS = 50
"""After so many the rest of the file is not looked at."""

MAX_STRAY = 50_000
"""After so many tokens that fit nowhere the rest of the file is not looked at either."""

MAX_TOKENS = 500_000
"""Twenty times what the largest known net takes; more would only eat time and memory."""

_CLOSING = frozenset(CLOSED_BY.values())


@dataclass(frozen=True, slots=True)
class ParseResult:
    """The tree, whole even where the text is wrong, and what is wrong."""

    document: Document
    diagnostics: tuple[Diagnostic, ...]


@lru_cache(maxsize=2)
def parse(source: Source) -> ParseResult:
    """Read protobuf text format: every independent syntax error is found, and every character is in the tree.

    The last results are kept, as a check first asks what a file is, and then what is in it.
    """
    run = Run(source)
    fields = run.through()
    document = Document(source, tuple(fields), run.end, tuple(run.stray))
    return ParseResult(document, tuple(run.found))


class Run:
    """One way through a file: the tokens still to come, the parser's stacks, what was left out, what was found."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Diagnostic] = []
        self.stray: list[Token] = []
        self._machine = parser().parse_interactive()
        self._tokens = tokens(source)
        self._ahead: deque[Token] = deque()
        self._quiet = False
        self._said: tuple[Token | None, str] = None, ""
        self._last = self.end = Token(TokenKind.END, "", Span(source, 0, 0), type="$END")

    def through(self) -> list[Any]:
        """Feed every token; the fields of the file."""
        feed: Callable[[Any], Any] = self._machine.feed_token
        for number in count():
            if number == MAX_TOKENS:
                self._too_long()
            if len(self.found) >= MAX_DIAGNOSTICS:
                self._give_up()
            token = self.take()
            if token.kind is TokenKind.ERROR and self._left_out(token):
                continue
            try:
                fields = feed(token)
            except UnexpectedToken:
                fields = self._mend(token)
            if token.kind is TokenKind.END:
                self.end = token
                return list(fields)
            if token.type in CLOSED_BY and len(self.values) > MAX_DEPTH * 2:
                self._limit_depth(token)
            self._last = token
        raise AssertionError("the end of the file ends the loop")

    def _mend(self, token: Token) -> Any:
        """Feed a token that the parser refuses, after what was missing before it; or leave it out."""
        while mend(self, token):
            try:
                return self.feed(token)
            except UnexpectedToken:
                continue
        return None

    def _left_out(self, token: Token) -> bool:
        self.found.append(explain(token))
        if token.type == "SKIP":
            self.stray.append(token)
        return token.type == "SKIP"

    def _too_long(self) -> None:
        message = f"more than {MAX_TOKENS:,} words and signs; no net or solver is that long"
        self.found.append(error("ND0115", message, span=self.peek().span))
        self._give_up()

    def _give_up(self) -> None:
        """Make one stray token of all that is left of the file."""
        token = self.take()
        start, end = token.span.start, len(self.source.text)
        self._ahead.clear()
        self._ahead.append(Token(TokenKind.END, "", Span(self.source, end, end), type="$END"))
        if token.kind is not TokenKind.END:
            rest = Token(TokenKind.ERROR, self.source.text[start:], Span(self.source, start, end), token.leading)
            self.stray.append(rest)
            self._quiet = True
            message = "the rest of the file was not looked at"
            self.found.append(Diagnostic(Severity.NOTE, "ND0113", message, token.span))

    def _limit_depth(self, opening: Token) -> None:
        if len(self.open()) <= MAX_DEPTH:
            return
        message = f"nested more than {MAX_DEPTH} deep"
        self.found.append(
            error("ND0112", message, span=opening.span, help="no net needs this; is a `}` missing above?")
        )
        self.skip_group()

    # What recovery asks and does.

    @property
    def values(self) -> list[Any]:
        """What the parser has read and not yet put into a larger piece."""
        return self._machine.parser_state.value_stack

    def top_type(self) -> str:
        """The type of the last of `values` if that is a token."""
        top = self.values[-1] if self.values else None
        return top.type if type(top) is Token else ""

    @property
    def last(self) -> Token:
        """The token before the one that is refused."""
        return self._last

    @property
    def quiet(self) -> bool:
        """Whether nothing more is said, since a part of the file was not looked at."""
        return self._quiet

    def open(self) -> list[Token]:
        """The brackets that are open here, outermost first."""
        found: list[Token] = []
        for value in self.values:
            if type(value) is Token and value.type in CLOSED_BY:
                found.append(value)
            elif type(value) is Token and value.type in _CLOSING:  # closed, but not yet put together
                found.pop()
        return found

    def accepts(self) -> set[str]:
        """Types of tokens that may stand here."""
        accepted: set[str] = self._machine.accepts()  # type: ignore[no-untyped-call]
        return accepted

    def take(self) -> Token:
        """The next token."""
        return self._ahead.popleft() if self._ahead else next(self._tokens)

    def peek(self, distance: int = 0) -> Token:
        """The token after `distance` others, still to be taken; at the end, the end."""
        while len(self._ahead) <= distance:
            if self._ahead and self._ahead[-1].kind is TokenKind.END:
                return self._ahead[-1]
            self._ahead.append(next(self._tokens))
        return self._ahead[distance]

    def say(self, token: Token, diagnostic: Diagnostic) -> None:
        """Note what is wrong at `token`, unless something was said about it already."""
        said, code = self._said
        if self._quiet or token.kind is TokenKind.ERROR or (token is said and code in {diagnostic.code, ""}):
            return
        self.found.append(diagnostic)
        self._said = token, diagnostic.code if token.kind is TokenKind.END else ""

    def feed(self, token: Token) -> Any:
        """Give the parser a token."""
        return self._machine.feed_token(token)  # type: ignore[arg-type]

    def insert(self, type: str) -> None:
        """Feed a token that the text lacks."""
        before = self.values[-1] if self.top_type() else self._last
        place = before.span.end
        self.feed(Token(TokenKind.ERROR, "", Span(self.source, place, place), type=type))

    def insert_item(self) -> None:
        """Feed a value that a list lacks: a scalar, or a message where only messages may stand."""
        if "INTEGER" in self.accepts():
            self.insert("IDENTIFIER")
        else:
            self.insert("LBRACE")
            self.insert("RBRACE")

    def complete(self) -> None:
        """Insert what is missing until the field, or the item of a list, is whole."""
        while True:
            accepted = self.accepts()
            if "COLON" in accepted:
                self.insert("COLON")
            elif "INTEGER" in accepted and self.top_type() != "LSQB":
                self.insert("INTEGER")
            elif accepted == {"LBRACE", "LESSTHAN"}:
                self.insert_item()
            elif accepted == {"IDENTIFIER"}:
                self.insert("IDENTIFIER")
            elif "DOT" in accepted:
                self.insert("RSQB")
            else:
                return

    def take_back(self) -> Token:
        """Undo the feeding of the last token."""
        self._machine.parser_state.state_stack.pop()
        token: Token = self.values.pop()
        return token

    def drop(self, token: Token) -> None:
        """Leave a token out of the tree (it is still printed); after too many, the rest of the file too."""
        self.stray.append(token)
        if len(self.stray) % MAX_STRAY == 0:
            self._give_up()

    def skip_group(self) -> None:
        """Leave out all up to the bracket that closes the group opened last; that bracket itself comes next."""
        depth = 0
        while self.peek().kind is not TokenKind.END:
            type = self.peek().type
            depth += (type in CLOSED_BY) - (type in _CLOSING)
            if depth < 0:
                return
            self.drop(self.take())
        self._quiet = True  # what was skipped may hold the brackets that seem to be missing
