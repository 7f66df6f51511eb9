"""PyYAML's error messages in plain English: PyYAML error → Problem with place and help.

Each rule is (a phrase of PyYAML's message, the place that it points to, the fact, the help); the first match counts.
"""

from __future__ import annotations

import re

import yaml

from archscope.errors import Problem, Span

INDENT_HELP = "lines of one list or mapping start in the same column; what belongs to a key is indented further"
QUOTE_HELP = "quote the value, or write one item per line with '- '"
BRACES_HELP = "quote the value, or write one 'key: value' per line without braces"

YAML_ERROR_RULES: tuple[tuple[str, bool, str, str], ...] = (
    (r"found character '\t'", False, "a tab indents this line", "YAML is indented with spaces"),
    (
        "mapping values are not allowed",
        False,
        "a second ': ' on one line",
        f"quote text that holds ': '; {INDENT_HELP}",
    ),
    ("could not find expected ':'", True, "a line that is neither 'key: value' nor '- item'", INDENT_HELP),
    ("while scanning a quoted scalar", True, "a quote is opened here and never closed", "close it on the same line"),
    ("found unknown escape character", False, "an unknown \\ escape in double quotes", "use single quotes, or \\\\"),
    ("expected ',' or ']', but got '['", False, "'[' starts a new list inside [...]", QUOTE_HELP),
    ("expected ',' or '}', but got '['", False, "'[' starts a new list inside {...}", BRACES_HELP),
    (
        "expected ',' or ']'",
        True,
        "a list is opened with '[' here and not closed",
        "close it with ']', or " + QUOTE_HELP,
    ),
    ("expected ',' or '}'", True, "a mapping is opened with '{' here and not closed", "close it with '}'"),
    ("expected the node content", False, "a value is missing here", QUOTE_HELP),
    ("expected <block end>, but found '['", False, "text continues after ']'", "quote the whole value"),
    ("expected <block end>", False, "this line does not fit the ones above", INDENT_HELP),
    ("expected '<document start>'", False, "this line does not belong to the lines above it", INDENT_HELP),
    ("sequence entries are not allowed", False, "a '- ' item does not fit here", "start it on its own line"),
    ("mapping keys are not allowed", False, "a '?' key does not fit here", "write 'key: value'; quote text with '?'"),
    ("while scanning a block scalar", False, "text after the '>' or '|' of a block text", "quote the value"),
    ("ing a tag", True, "'!' starts a YAML tag, and tags are not part of the language", "quote the value"),
    ("while parsing a node", False, "'!' starts a YAML tag, and tags are not part of the language", "quote the value"),
    ("directive", False, "'%' starts a YAML directive, and there are none here", "quote the value"),
    ("expected alphabetic or numeric character", False, "'*' and '&' start an alias or anchor", "quote the value"),
    ("incompatible YAML document", False, "this %YAML version is not known", "remove the line"),
    ("found duplicate anchor", False, "an anchor is set twice", "use two names"),
    ("cannot start any token", False, "a value cannot start with this character", "quote the value"),
)


def explain_yaml_error(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Return the problem behind a YAML error, with its line and column."""
    if isinstance(error, yaml.reader.ReaderError):
        before, char = text[: error.position], text[error.position]
        span = one_based_span(before.count("\n"), error.position - (before.rfind("\n") + 1), file)
        return Problem(span, f"character U+{ord(char):04X} does not belong in a text file", "remove it")
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(Span(file, 1, 1), str(error))
    message = " ".join(part for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Span(file, 1, 1), f"this is not valid YAML: {message}", INDENT_HELP)
    if found := bound_problem(message, mark, text) or stray_key_problem(message, mark, text):
        return Problem(one_based_span(mark.line, found[0], file), *found[1:])
    for phrase, at_start, fact, fix in YAML_ERROR_RULES:
        if phrase in message:
            mark = error.context_mark if at_start and error.context_mark else mark
            return Problem(one_based_span(mark.line, mark.column, file), fact, fix)
    return Problem(one_based_span(mark.line, mark.column, file), f"this is not valid YAML: {message}", INDENT_HELP)


def one_based_span(line: int, column: int, file: str) -> Span:
    return Span(file, line + 1, column + 1)


def bound_problem(message: str, mark: yaml.Mark, text: str) -> tuple[int, str, str] | None:
    """Return column, fact and help for `params: > 5M`, where YAML reads the `>` as the start of a block text."""
    if "expected a comment or a line break" not in message and "cannot start any token" not in message:
        return None
    line = marked_line(mark, text)
    column = line.rfind(">", 0, mark.column + 1)
    if column < 0:
        return None
    rest = re.split("[#,}]", line[column + 1 :])[0].strip(" =")
    return column, f"'>' starts a YAML block text, so '> {rest}' is not a bound", f"write {{min: {rest}}}"


def stray_key_problem(message: str, mark: yaml.Mark, text: str) -> tuple[int, str, str] | None:
    """Return column, fact and help for `- ReLU` with `repeat: 2` below it: YAML is reading a text, and no key can
    follow.
    """
    line = marked_line(mark, text)
    key = line[: mark.column].strip()
    if "mapping values are not allowed" not in message or not key.isidentifier():
        return None
    fix = f"a step with more keys begins with one: '- do: ReLU', and '{key}: …' below 'do'"
    return line.index(key), f"'{key}:' stands below a line that has no key", fix


def marked_line(mark: yaml.Mark, text: str) -> str:
    return re.split("\r\n|[\r\n\x85\u2028\u2029]", text)[mark.line]
