"""What was meant where the grammar refuses a token? The likeliest small repair, so that reading goes on behind it."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from netdef.diagnostics import Edit, Fix, Label, Span, error
from netdef.text.cst import Token, TokenKind
from netdef.text.lexer import tokens

if TYPE_CHECKING:
    from netdef.text.parse import Run

CLOSED_BY = {"LBRACE": "RBRACE", "LESSTHAN": "MORETHAN", "LSQB": "RSQB"}
"""Type of the bracket that closes each type of opening one."""

_SYMBOLS = {"RBRACE": "}", "MORETHAN": ">", "RSQB": "]", "COMMA": ",", "COLON": ":"}
_SCALARS = frozenset({"STRING", "INTEGER", "FLOAT", "MINUS", "IDENTIFIER"})
_MESSAGES = frozenset({"LBRACE", "LESSTHAN"})
_AFTER_NAME = _MESSAGES | {"COLON"}
_BLANKS = re.compile(r"[ \t\f\v]*")


class Place(Enum):
    """Where in the grammar the refused token stands."""

    FIELD = auto()  # a field may begin
    NAME = auto()  # behind a name
    VALUE = auto()  # behind a colon
    NUMBER = auto()  # behind a minus
    ITEM = auto()  # behind `[`, or a comma in a list
    COMMA = auto()  # behind a value in a list
    PATH = auto()  # in the brackets of a name


def mend(run: Run, token: Token) -> bool:
    """Say what is wrong at `token` and repair it.

    True if the token is to be tried again, False if it has been left out.
    """
    return _RULES[_place(run)](run, token)


def _place(run: Run) -> Place:
    accepted, top = run.accepts(), run.top_type()
    if "COLON" in accepted:
        return Place.NAME
    if "IDENTIFIER" in accepted and "LSQB" in accepted:
        return Place.VALUE if "INTEGER" in accepted else Place.FIELD
    if top == "MINUS" and "INTEGER" in accepted:
        return Place.NUMBER
    if top in {"LSQB", "COMMA"} and "LBRACE" in accepted:
        return Place.ITEM
    return Place.COMMA if "COMMA" in accepted else Place.PATH


def _in_field(run: Run, token: Token) -> bool:
    if token.type in _AFTER_NAME and run.top_type() == "IDENTIFIER":
        return _value_is_a_name(run)
    if token.type in {"RBRACE", "MORETHAN", "RSQB"}:
        return _wrong_closing(run, token)
    if token.kind is TokenKind.END:
        return _unclosed_at_end(run, token)
    if token.type == "STRING" and run.peek().type == "COLON":
        run.say(token, error("ND0101", "a field's name stands without quotes", span=token.span))
        run.feed(Token(TokenKind.ERROR, token.text, token.span, token.leading, "IDENTIFIER"))
        return False
    if token.type in {"COMMA", "SEMICOLON"}:
        message = f"`{token.text}` with no field before it"
        run.say(token, error("ND0101", message, span=token.span, fix=_replace(token, "")))
        run.drop(token)
        return False
    if (
        token.type in {"DOT", "SLASH", "MINUS"}
        and run.last.type == "IDENTIFIER"
        and run.last.span.end == token.span.start
    ):
        run.say(token, error("ND0101", f"text with `{token.text}` in it stands in quotes", span=token.span))
    return _unexpected(run, token, "the name of a field", _values_help(run, token))


def _values_help(run: Run, token: Token) -> str:
    """Advice where a further value follows one, as in ``dim: 1, 3`` and ``0,5``."""
    if token.type not in _SCALARS or run.last.type not in {*_SCALARS, "COMMA", "SEMICOLON"}:
        return ""
    several = "several values go in a list, `[1, 2]`, or repeat the field"
    numbers = run.last.type == "COMMA" and token.type == "INTEGER"
    return several + ("; a decimal number has a point, 0.5" if numbers else "")


def _behind_name(run: Run, token: Token) -> bool:
    name, span = _name(run.values)
    if token.type in _SCALARS and not _starts_field(run, token):
        _say_no_colon(run, token)
        run.insert("COLON")
    elif token.kind is TokenKind.SYMBOL and run.peek().type in _AFTER_NAME:
        return _too_much(run, token)
    elif (_indent(token) or 0) > _line_indent(span):
        message = f"expected `{{` behind `{name}`, whose content seems to follow"
        run.say(token, error("ND0107", message, span=span, help=_value_help(name)))
        run.insert("LBRACE")
    else:
        run.say(token, error("ND0107", f"`{name}` has no value", span=span, help=_value_help(name)))
        run.insert("COLON")
        run.insert("IDENTIFIER")
    return True


def _behind_colon(run: Run, token: Token) -> bool:
    if token.type == "COLON":
        run.say(token, error("ND0101", "a second `:`", span=token.span, fix=_replace(token, "")))
        run.drop(token)
        return False
    if token.kind is TokenKind.SYMBOL and run.peek().type in {"STRING", "INTEGER", "FLOAT"}:
        return _too_much(run, token)
    _say_no_value(run, token)
    return True


def _too_much(run: Run, token: Token) -> bool:
    """One sign between parts that fit together without it."""
    run.say(token, error("ND0101", f"unexpected {describe(token)}", span=token.span))
    run.drop(token)
    return False


def _behind_minus(run: Run, token: Token) -> bool:
    minus = run.values[-1]
    run.say(token, error("ND0104", "`-` needs a number after it", span=minus.span))
    run.insert("INTEGER")
    return True


def _behind_list_start_or_comma(run: Run, token: Token) -> bool:
    if token.type in _SCALARS and "INTEGER" not in run.accepts() and run.top_type() == "LSQB":
        bracket = run.take_back()
        _say_no_colon(run, bracket)
        run.insert("COLON")
        run.feed(bracket)
    elif token.type in {"COMMA", "RSQB"}:
        _say_no_item(run, token)
        run.insert_item()
    elif token.type in {"RBRACE", "MORETHAN", "$END"}:
        _close_list(run, token)
    else:
        return _unexpected(run, token, "a value")
    return True


def _behind_item(run: Run, token: Token) -> bool:
    if token.type in _AFTER_NAME and run.top_type() == "IDENTIFIER":
        name = run.take_back()
        _close_list(run, name)
        run.feed(name)
    elif token.type in {"RBRACE", "MORETHAN", "$END"} or _starts_field(run, token):
        _close_list(run, token)
    elif token.type in _SCALARS | _MESSAGES:
        place = Span(run.source, run.last.span.end, run.last.span.end)
        fix = Fix("insert a comma", (Edit(place, ","),))
        run.say(token, error("ND0111", "expected `,` between the values of a list", span=token.span, fix=fix))
        run.insert("COMMA")
    elif token.type == "SEMICOLON":
        message = "expected `,` between the values of a list, found `;`"
        run.say(token, error("ND0111", message, span=token.span, fix=_replace(token, ",")))
        run.drop(token)
        run.insert("COMMA")
        return False
    else:
        return _unexpected(run, token, "`,` or `]`")
    return True


def _in_path(run: Run, token: Token) -> bool:
    if token.type in CLOSED_BY:
        return _unexpected(run, token, "the name of an extension")
    bracket = run.open()[-1]
    message = "a name in brackets is not finished, expected `]`"
    run.say(token, error("ND0108", message, span=token.span, labels=(Label(bracket.span, "opened here"),)))
    run.complete()
    return True


_RULES = {
    Place.FIELD: _in_field,
    Place.NAME: _behind_name,
    Place.VALUE: _behind_colon,
    Place.NUMBER: _behind_minus,
    Place.ITEM: _behind_list_start_or_comma,
    Place.COMMA: _behind_item,
    Place.PATH: _in_path,
}


def _value_is_a_name(run: Run) -> bool:
    """``a:`` and then ``b: 1`` or ``b {``: what was read as the value of a is the name of the next field."""
    name = run.take_back()
    if run.top_type() == "MINUS":  # a list as YAML has it
        _behind_minus(run, name)
    else:
        _say_no_value(run, name)
    run.feed(name)
    return True


def _say_no_value(run: Run, token: Token) -> None:
    """Between a colon and `token` there is no value; put one there."""
    colon, (name, _) = run.values[-1], _name(run.values[:-1])
    message = f"`{name}` has no value after its `:`"
    run.say(token, error("ND0107", message, span=colon.span, help=_value_help(name)))
    run.insert("IDENTIFIER")


def _value_help(name: str) -> str:
    return f"write `{name}: value`, or `{name} {{ … }}` for a message"


def _say_no_colon(run: Run, token: Token) -> None:
    name, span = _name(run.values)
    fix = Fix("insert a colon", (Edit(Span(run.source, span.end, span.end), ":"),))
    message = f"expected `:` between `{name}` and its value"
    run.say(token, error("ND0106", message, span=token.span, help=f"write `{name}: …`", fix=fix))


def _name(values: list[Any]) -> tuple[str, Span]:
    """The field's name that was read last: put together already, or still as its tokens."""
    top = values[-1]
    if isinstance(top, Token):
        top = (values[-3], *values[-2], top) if top.type == "RSQB" else (top,)
    text = "".join(token.text for token in top)
    return text if len(text) <= 40 else text[:37] + "…", top[0].span.to(top[-1].span)


def _say_no_item(run: Run, token: Token) -> None:
    before: Token = run.values[-1]
    if before.type == "COMMA" and token.type == "RSQB":
        message, fix = "a list must not end with a comma", _replace(before, "")
        run.say(token, error("ND0111", message, span=before.span, fix=fix))
    else:
        run.say(token, error("ND0107", "no value before this comma", span=token.span))


def _close_list(run: Run, token: Token) -> None:
    """Close the innermost list, which ends before `token`."""
    bracket = run.open()[-1]
    labels = (Label(bracket.span, "opened here"),)
    message = "the list is not closed, expected `]`"
    run.say(token, error("ND0108", message, span=token.span, labels=labels))
    run.complete()
    run.insert("RSQB")


def _wrong_closing(run: Run, token: Token) -> bool:
    """A closing bracket, at a place where a field may begin, that does not fit the innermost open one."""
    opened = run.open()
    if not opened or (token.type == "RSQB" and all(o.type != "LSQB" for o in opened)):
        message = f"`{token.text}` closes nothing"
        run.say(token, error("ND0109", message, span=token.span, help="remove it, or open its block above"))
        run.drop(token)
        return False
    bracket, expected = opened[-1], CLOSED_BY[opened[-1].type]
    label = Label(bracket.span, "opened here")
    if token.type == "RSQB":
        message = f"`{bracket.text}` is not closed before `]`"
        run.say(token, error("ND0108", message, span=token.span, labels=(label,)))
        run.insert(expected)
        return True
    message = f"`{bracket.text}` is closed by `{token.text}`, expected `{_SYMBOLS[expected]}`"
    fix = _replace(token, _SYMBOLS[expected])
    run.say(token, error("ND0110", message, span=token.span, labels=(label,), fix=fix))
    run.drop(token)
    run.insert(expected)
    return False


def _unclosed_at_end(run: Run, token: Token) -> bool:
    """The file ends inside brackets: one error, however many they are."""
    opened = run.open()
    bracket = opened[-1]
    more = f", and {len(opened) - 1} more around it" if len(opened) > 1 else ""
    message = f"`{bracket.text}` is never closed{more}"
    labels = tuple(Label(o.span, "opened here") for o in opened[-3:])
    hint = () if run.quiet else _line_ends(run) or _suspect(run)
    found = error("ND0108", message, span=token.span, label="the file ends here", labels=labels, help=hint)
    run.say(token, found)
    for bracket in reversed(opened):
        run.complete()
        run.insert(CLOSED_BY[bracket.type])
    return True


def _line_ends(run: Run) -> tuple[str, ...]:
    """Advice where the lines end as on old Macs, in a carriage return alone, which ends no comment."""
    text = run.source.text
    if "\n" in text or "\r" not in text.rstrip("\r") or "#" not in text:
        return ()
    return ("the lines end in CR alone, so that the first comment takes in the rest of the file; save it with LF",)


def _suspect(run: Run) -> tuple[str, ...]:
    """The first bracket whose content, going by the indentation, ends before the bracket is closed."""
    opened: list[tuple[int, Token]] = []
    for token in tokens(run.source):
        indent = _indent(token)
        closes = token.type in CLOSED_BY.values()
        if opened and indent is not None and indent + closes <= opened[-1][0]:
            line = opened[-1][1].span.line
            return (f"going by the indentation, it is the `{opened[-1][1].text}` of line {line} that lacks its end",)
        if token.type in CLOSED_BY:
            opened.append((_line_indent(token.span), token))
        elif closes and opened:
            opened.pop()
    return ()


def _indent(token: Token) -> int | None:
    """How far a line is indented that starts with `token`; None if the token stands further on in it."""
    line_break = token.leading.rfind("\n")
    starts_line = line_break >= 0 or token.span.start == len(token.leading)
    return len((token.leading[line_break + 1 :]).expandtabs()) if starts_line and token.text else None


def _line_indent(span: Span) -> int:
    """How far the line is indented in which a span begins."""
    blanks = _BLANKS.match(span.source.text, span.start - span.column + 1)  # not the line: it may be megabytes long
    return len(blanks[0].expandtabs()) if blanks else 0


def _unexpected(run: Run, token: Token, expected: str, help: str = "") -> bool:
    """Leave out `token` and what belongs to it, up to where a field or a value surely begins."""
    run.say(token, error("ND0101", f"unexpected {describe(token)}, expected {expected}", span=token.span, help=help))
    run.complete()
    run.drop(token)
    if token.type in CLOSED_BY:
        run.skip_group()
        _drop_next(run)
    accepted = run.accepts()
    while run.peek().kind is not TokenKind.END and not _goes_on(run, accepted):
        kind = run.peek().type
        run.drop(run.take())
        if kind in CLOSED_BY:
            run.skip_group()
            _drop_next(run)
    return False


def _drop_next(run: Run) -> None:
    if run.peek().kind is not TokenKind.END:
        run.drop(run.take())


def _goes_on(run: Run, accepted: set[str]) -> bool:
    """Whether reading can start again at the next token."""
    token, following = run.peek(), run.peek(1)
    if token.type == "IDENTIFIER":
        own_line = "\n" in token.leading and following.type in {"STRING", "INTEGER", "FLOAT"}
        return own_line or following.type in _AFTER_NAME
    if token.type in {"RBRACE", "MORETHAN"}:
        return any(bracket.type != "LSQB" for bracket in run.open())
    return token.type in accepted and token.type not in {"STRING", "LSQB"}


def _starts_field(run: Run, token: Token) -> bool:
    """Whether `token` is the name of a field, by what comes after it."""
    return token.type == "IDENTIFIER" and run.peek().type in _AFTER_NAME


def _replace(token: Token, text: str) -> Fix:
    return Fix(f"replace by `{text}`" if text else "remove it", (Edit(token.span, text),))


def describe(token: Token) -> str:
    """A token in words."""
    if token.kind is TokenKind.END:
        return "end of file"
    text = token.text if len(token.text) <= 40 else token.text[:37] + "…"
    kind = {"STRING": "string ", "INTEGER": "number ", "FLOAT": "number ", "IDENTIFIER": "name "}
    return f"{kind.get(token.type, '')}`{text}`"
