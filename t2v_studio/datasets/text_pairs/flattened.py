"""Python that was flattened to one line, given its lines back where only one reading parses."""

from __future__ import annotations

import io
import keyword
import re
import tokenize

from t2v_studio.datasets.text_pairs.code import parsed

_JOINING = frozenset({"in", "is", "and", "or", "not", "if", "else", "as", "import", "lambda", "for", "async", "await"})
_OPENING = frozenset({"class", "def", "return", "from", "import", "pass", "del", "assert", "raise", "global"})
_BLOCKS = frozenset({"for", "while", "with", "try", "if", "elif", "else", "except", "finally", "match"})
Token = tokenize.TokenInfo
_TEXT_ENDS = (tokenize.NUMBER, tokenize.STRING, getattr(tokenize, "FSTRING_END", tokenize.STRING))


class CannotRepair(ValueError):
    """Why the lines of a text cannot be told."""


def repaired(code: str) -> str:
    """Code that parses and says the same tokens: as it is, or with its lines put back. Raises CannotRepair.

    Lines are put back from literal \\n, from runs of spaces that were indentation, or between statements
    of classes and functions that hold no blocks. Which statements a block such as `for` holds cannot
    be told from one line, unless one alone follows.
    """
    code = code.strip()
    if not code:
        raise CannotRepair("it is empty")
    fault = _fault(code)
    if not fault:
        if not parsed(code).body:
            raise CannotRepair("it holds comments alone, or a comment swallowed the rest of it")
        return code
    if "\n" in code:
        raise CannotRepair(f"it does not parse ({fault}), and it was not flattened")
    for attempt in (code.replace("\\n", "\n"), _by_runs(code)):
        if attempt != code and not _fault(attempt):
            return attempt
    made = _by_statements(code)
    trouble = _fault(made)
    if trouble:
        raise CannotRepair(f"it was flattened, and with its lines put back it does not parse ({trouble})")
    if [token.string for token in _tokens(made)] != [token.string for token in _tokens(code) if token.string != ";"]:
        raise CannotRepair("it was flattened, and its words change when the lines are put back")
    return made


def _fault(code: str) -> str:
    try:
        parsed(code)
    except SyntaxError as error:
        return error.msg or "syntax error"
    return ""


def _by_runs(code: str) -> str:
    """Runs of two and more spaces as line ends with that indentation."""
    return re.sub(r" ( {4,})(?=\S)", r"\n\1", code) if "    " in code else code


def _by_statements(code: str) -> str:
    tokens = _tokens(code)
    if any(token.type == tokenize.COMMENT for token in tokens):
        raise CannotRepair("it was flattened, and a comment swallows what follows it")
    if any(token.string.lstrip("rRbBfFuU").startswith(('"""', "'''")) for token in tokens):
        raise CannotRepair("it was flattened, and the line ends within a text are lost")
    lines: list[str] = []
    in_class = False
    depth = 0
    statements = _statements(tokens)
    for number, statement in enumerate(statements):
        first = statement[0].string
        if first == "class":
            depth, in_class = 0, True
        elif first == "def":
            if in_class and not {"self", "cls"} & {token.string for token in statement[3:4]}:
                raise CannotRepair("it was flattened, and where the function within a method ends cannot be told")
            depth = 1 if in_class else 0
        elif first in _BLOCKS and number < len(statements) - 2:
            raise CannotRepair(f"it was flattened, and where the block of {first!r} ends cannot be told")
        lines.append("    " * depth + code[statement[0].start[1] : statement[-1].end[1]])
        if statement[-1].string == ":":
            depth += 1
    return "\n".join(lines) + "\n"


def _tokens(code: str) -> list[Token]:
    """Every token that is not layout. Raises CannotRepair."""
    layout = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    try:
        found = tokenize.generate_tokens(io.StringIO(code).readline)
        return [token for token in found if token.type not in layout]
    except (tokenize.TokenError, SyntaxError) as error:
        raise CannotRepair(f"it was flattened, and its signs cannot be told apart ({error.args[0]})") from error


def _statements(tokens: list[Token]) -> list[list[Token]]:
    """Cut where one operand follows another, or a header's colon ends, outside of all brackets."""
    found: list[list[Token]] = [[]]
    open_brackets = 0
    for token in tokens:
        current, text = found[-1], token.string
        if current and open_brackets == 0 and _begins(current, token):
            found.append([])
        if text == ";" and open_brackets == 0:
            found.append([])
            continue
        found[-1].append(token)
        open_brackets += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
    return [statement for statement in found if statement]


def _begins(current: list[Token], token: Token) -> bool:
    """Whether a token begins a new statement after those of the current one."""
    first, last, text = current[0].string, current[-1].string, token.string
    if last == ":" and (first in ("class", "def") or first in _BLOCKS):
        return True
    if last == "*" and first == "from":
        return True
    value = not keyword.iskeyword(last) or last in ("True", "False", "None", "pass", "break", "continue")
    ends = last in (")", "]", "}") or current[-1].type in _TEXT_ENDS or (current[-1].type == tokenize.NAME and value)
    if not ends or token.type not in (tokenize.NAME, tokenize.NUMBER):
        return False
    if text == "import" and first == "from" and all(one.string != "import" for one in current):
        return False
    if text == "for":
        return True
    if text == "if":  # after a value that is assigned or returned it is a conditional expression
        return first != "return" and all(one.string != "=" for one in current)
    return text in _OPENING or text not in _JOINING
