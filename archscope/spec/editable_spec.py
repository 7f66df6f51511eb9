"""Edits of a spec's text that keep its comments and its layout.

EditableSpec(text, spec) ─ expression at a place ─ argument ─→ the text with another value in it
                 ─ residual at a place ─→ the text with a shortcut added
                 ─ step at a place ─→ the text with a step inserted before or after it

Methods return None for an edit that cannot be made by replacing pieces of text (a call over several lines, a mapping in
braces), or after which the text could not be read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property

from archscope.errors import Problems, Span
from archscope.spec.argument_names import positional_names
from archscope.spec.parse import parse
from archscope.spec.spec_types import Block, Constant, Data, Expression, LayerCall, Residual, Spec
from archscope.spec.text_diff import common_prefix_length

LineColumn = tuple[int, int]
TextEdit = tuple[int, int, str]
"""A replaced piece of the text: start offset, end offset, new text."""


@dataclass(frozen=True)
class ArgumentText:
    """One argument of a call: the offsets of its value in the text, and the value as written."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class CallSite:
    """A call as written: its name, its arguments by name, and the offset at which another one can be added."""

    name: str
    arguments: Mapping[str, ArgumentText]
    end: int | None  # None if no argument can be added
    bare: bool  # `ReLU`, without brackets
    empty: bool


@dataclass(frozen=True)
class EditableSpec:
    """One spec file: its text and what was parsed from it."""

    text: str
    spec: Spec

    def offset(self, span: Span) -> int:
        """Return the offset of a place in the text."""
        return self._starts[span.line - 1] + span.column - 1

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return starts

    @cached_property
    def all_nodes(self) -> tuple[object, ...]:
        """Every dataclass of the file, from the outside in."""
        return tuple(iter_spec_nodes(self.spec))

    @cached_property
    def _nodes_by_place(self) -> dict[type, dict[LineColumn, object]]:
        found: dict[type, dict[LineColumn, object]] = {}
        for part in self.all_nodes:
            span = getattr(part, "span", None)
            if span is not None:
                found.setdefault(type(part), {}).setdefault((span.line, span.column), part)
        return found

    def node_at(self, kind: type, span: Span) -> object:
        """Return the node of this type that starts at a place; None if there is none."""
        return self._nodes_by_place.get(kind, {}).get((span.line, span.column))

    def block_at(self, line: int) -> Block | None:
        """Return the block whose definition contains a line; None for the net's own steps, its params and inputs."""
        if line not in self._blocks:
            self._blocks[line] = self._block_at(line)
        return self._blocks[line]

    @cached_property
    def _blocks(self) -> dict[int, Block | None]:
        return {}

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    def _block_at(self, line: int) -> Block | None:
        before = [block for block in self.spec.blocks if block.span.line <= line]
        found = max(before, key=lambda block: block.span.line, default=None)
        if found is None:
            return None
        lines, column = self._lines, found.span.column - 1
        inside = (is_content(text) and indent(text) <= column for text in lines[found.span.line : line])
        listed = (text[column:].startswith("- ") for text in lines[found.span.line : line])
        ended = any(ends and not item for ends, item in zip(inside, listed, strict=True))
        return None if ended else found

    def expression(self, span: Span) -> Expression | None:
        """Return the expression that starts at a place, if it stands there on one line exactly as it was read."""
        found = self.node_at(Expression, span)
        if not isinstance(found, Expression) or not self.is_verbatim(found):
            return None
        return found

    def is_verbatim(self, found: Expression) -> bool:
        start = self.offset(found.span)
        return self.text[start : start + len(found.text)] == found.text

    def segment(self, whole: Expression, node: ast.AST) -> tuple[int, int]:
        """Return the start and end offsets of a node of an expression in the text."""
        start = self.offset(whole.span)
        begin, end = (
            len(whole.text.encode()[: getattr(node, name)].decode()) for name in ("col_offset", "end_col_offset")
        )
        return start + begin, start + end

    def cut(self, start: int, end: int, new: str) -> str:
        """Return the text with a piece replaced."""
        return self.text[:start] + new + self.text[end:]

    # Calls

    def calls(self, span: Span, signatures: Mapping[str, Sequence[str]]) -> list[CallSite]:
        """Return the calls of layers and blocks in the step at a place, outermost first."""
        whole = self.expression(span)
        if whole is not None:
            found = [self._call(whole, node, signatures) for node in ast.walk(whole.tree)]
            return [call for call in found if call is not None]
        long = self.node_at(LayerCall, span)
        return [self._long(long, signatures)] if isinstance(long, LayerCall) else []

    def _call(self, whole: Expression, node: ast.AST, signatures: Mapping[str, Sequence[str]]) -> CallSite | None:
        if isinstance(node, ast.Name) and node is whole.tree and node.id[:1].isupper():
            return CallSite(node.id, {}, self.segment(whole, node)[1], bare=True, empty=True)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.func.id[:1].isupper():
            return None
        words = {word.arg or "" for word in node.keywords}
        names = positional_names(len(node.args), words, signatures.get(node.func.id, ()))
        values = dict(zip(names, node.args, strict=False))
        values |= {word.arg: word.value for word in node.keywords if word.arg}
        arguments = {name: self.argument(whole, value) for name, value in values.items()}
        return CallSite(node.func.id, arguments, self.segment(whole, node)[1] - 1, False, not values)

    def argument(self, whole: Expression, value: ast.expr) -> ArgumentText:
        start, end = self.segment(whole, value)
        return ArgumentText(start, end, self.text[start:end])

    def _long(self, call: LayerCall, signatures: Mapping[str, Sequence[str]]) -> CallSite:
        words = {label.name: self.data(value) for label, value in call.kwargs}
        names = positional_names(len(call.args), words, signatures.get(call.name, ()))
        pairs = [*zip(names, map(self.data, call.args), strict=False), *words.items()]
        return CallSite(call.name, {name: found for name, found in pairs if found}, None, False, False)

    def data(self, value: Data) -> ArgumentText | None:
        """Return a value written as YAML data, if it is one scalar."""
        if isinstance(value, Expression) and self.is_verbatim(value):
            start = self.offset(value.span)
            return ArgumentText(start, start + len(value.text), value.text)
        if isinstance(value, Constant):
            start = self.offset(value.span)
            match = re.compile(r"[-\w.+]+").match(self.text, start)
            return ArgumentText(start, match.end(), match[0]) if match else None
        return None

    def piece(self, call: CallSite, name: str, value: str) -> TextEdit | None:
        """Return the edit that sets an argument: its value is replaced, or the argument is added by name."""
        given = call.arguments.get(name)
        if given is not None:
            return given.start, given.end, value
        if call.end is None:
            return self._mapping_edit(call, name, value)
        if call.bare:
            return call.end, call.end, f"({name}={value})"
        return call.end, call.end, f"{'' if call.empty else ', '}{name}={value}"

    def _mapping_edit(self, call: CallSite, name: str, value: str) -> TextEdit | None:
        """Return the edit that adds an argument to a long form: after the last one, in its braces or on a new line."""
        last = max(call.arguments.values(), key=lambda argument: argument.end, default=None)
        key = re.search(r"(\w+)\s*:[ ]*$", self.text[: last.start]) if last is not None else None
        if last is None or key is None:
            return None
        rest = self.text[last.end :].split("\n", 1)[0]
        if rest.lstrip().startswith((",", "}")):
            return last.end, last.end, f", {name}: {value}"
        end = last.end + len(rest)
        return end, end, f"\n{' ' * (key.start() - self._line_start(key.start()))}{name}: {value}"

    def _line_start(self, offset: int) -> int:
        return self.text.rfind("\n", 0, offset) + 1

    def new_argument_edit(self, block: Block, argument: str) -> TextEdit | None:
        """Return the edit that adds an argument with a default to a block's header: `C(out):` → `C(out, stride=1):`."""
        start = self.offset(block.span)
        header = re.compile(rf"{block.name}\s*(\((?P<given>[^()\n]*)\))?(?=\s*:)").match(self.text, start)
        if header is None:
            return None
        if header["given"] is None:
            return header.end(), header.end(), f"({argument})"
        return header.end() - 1, header.end() - 1, f"{', ' if header['given'].strip() else ''}{argument}"

    def quoted(self, text: str) -> str:
        """Return the edited text, with the changed expression in quotes if a comma would end it (in a flow list)."""
        head = common_prefix_length(self.text, text)
        tail = common_prefix_length(self.text[head:][::-1], text[head:][::-1])
        for part in (one for one in self.all_nodes if isinstance(one, Expression) and self.is_verbatim(one)):
            start = self.offset(part.span)
            end = start + len(part.text)
            if not 0 <= start <= head <= len(self.text) - tail <= end:
                continue
            new_end = end + len(text) - len(self.text)
            opened = self.text[:start].rstrip()[-1:] in ("[", ",") or self.text[end:].lstrip()[:1] in ("]", ",", "}")
            quotes = self.text[start - 1 : start] in ('"', "'") or '"' in text[start:new_end]
            if opened and not quotes and "," in text[start:new_end] and "," not in part.text:
                return f'{text[:start]}"{text[start:new_end]}"{text[new_end:]}'
        return text

    def apply_edits(self, pieces: Sequence[TextEdit]) -> str:
        """Return the text with several pieces replaced; they do not overlap."""
        text = self.text
        for start, end, new in sorted(pieces, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def with_argument(self, call: CallSite, name: str, value: str) -> str | None:
        """Return the text with an argument set; it is added by name if it was not given."""
        piece = self.piece(call, name, value)
        return self.cut(*piece) if piece is not None else None

    def without_argument(self, call: CallSite, name: str) -> str | None:
        """Return the text without an argument and its comma."""
        given = call.arguments.get(name)
        if given is None:
            return None
        if call.end is None:
            return self._without_mapping_entry(given, name)
        before = re.search(rf"(?:\b{name}\s*=\s*)?$", self.text[: given.start])
        start = before.start() if before else given.start
        after = re.compile(r"\s*,\s*").match(self.text, given.end)
        if after:
            return self.cut(start, after.end(), "")
        lead = re.search(r"\s*,\s*$", self.text[:start])
        if lead is None and len(call.arguments) == 1 and self.text[start - 1] == "(":
            return self.cut(start - 1, call.end + 1, "")  # the brackets would be empty
        return self.cut(lead.start() if lead else start, given.end, "")

    def _without_mapping_entry(self, given: ArgumentText, name: str) -> str | None:
        """Return the text without an entry of a long form: with its comma in braces, with its line elsewhere."""
        key = re.search(rf"(?P<comma>,\s*)?\b{name}\s*:\s*$", self.text[: given.start])
        if key is None:
            return None
        start, end = self._line_start(key.start()), self.text.find("\n", given.end) + 1 or len(self.text)
        if self.text[start:end].strip() == self.text[key.start() : given.end].strip():
            return self._if_readable(self.cut(start, end, ""))
        after = re.compile(r"\s*,\s*").match(self.text, given.end) if not key["comma"] else None
        return self._if_readable(self.cut(key.start(), after.end() if after else given.end, ""))

    # Steps

    def with_step_before(self, span: Span, step: str) -> str | None:
        """Return the text with a step inserted on its own line before the one at a place, if that begins a line."""
        line = self.text[self._starts[span.line - 1] :].split("\n", 1)[0]
        match = re.match(r"(\s*)- ", line)
        if not match or re.search(r"- ", line[match.end() : span.column - 1]):
            return None
        start = self._starts[span.line - 1]
        return self._if_readable(self.cut(start, start, f"{match[1]}- {step}\n"))

    def with_step_after(self, span: Span, step: str) -> str | None:
        """Return the text with a step inserted on its own line after the one at a place, if that is alone on a line."""
        line = self.text[self._starts[span.line - 1] :].split("\n", 1)[0]
        match = re.match(r"(\s*)- ", line)
        if not match or line[: span.column - 1].strip(" -"):
            return None
        end = self._starts[span.line]
        lead = "" if self.text[end - 1 : end] == "\n" else "\n"
        return self._if_readable(self.cut(end, end, f"{lead}{match[1]}- {step}\n"))

    def without_line(self, span: Span) -> str | None:
        """Return the text without the line of a step that is alone on its line."""
        start, end = self._starts[span.line - 1], self._starts[span.line]
        return self._if_readable(self.cut(start, end, "")) if self.text[start:end].lstrip().startswith("- ") else None

    def with_shortcut(self, span: Span, steps: Sequence[str]) -> str | None:
        """Return the text with a shortcut added to the residual at a place, which has none."""
        before = self.node_at(Residual, span)
        lines = self.text.splitlines(keepends=True)
        lines[-1] += "\n" * (lines[-1][-1:] != "\n")
        head = lines[span.line - 1]
        if not isinstance(before, Residual) or not head[span.column - 1 :].startswith("residual:"):
            return None
        start = span.column - 1 + len("residual:")
        inline = re.sub(r"(^|\s)#.*", "", head[start:]).strip()
        text = self._shortcut_inline(lines, span, inline, steps) if inline else self._shortcut_below(lines, span, steps)
        edited = self._read(text) if text is not None else None
        found = edited.node_at(Residual, span) if edited is not None else None
        return text if isinstance(found, Residual) and found.main == before.main and found.shortcut else None

    def _shortcut_inline(self, lines: list[str], span: Span, inline: str, steps: Sequence[str]) -> str:
        """Return the text for a main path on the line of its key: `residual: Conv2d(8, 1)`."""
        head, pad = lines[span.line - 1], " " * (span.column + 3)
        start = head.index(inline, span.column - 1 + len("residual:"))
        new = [head[:start].rstrip() + head[start + len(inline) :], f"{pad}main: {inline}\n", f"{pad}shortcut:\n"]
        return "".join([*lines[: span.line - 1], *new, *(f"{pad}  {step}\n" for step in steps), *lines[span.line :]])

    def _shortcut_below(self, lines: list[str], span: Span, steps: Sequence[str]) -> str | None:
        """Return the text for a main path below its key: a list, or a mapping with `main:`."""
        first = next((n for n in range(span.line, len(lines)) if is_content(lines[n])), None)
        if first is None:
            return None
        inner = indent(lines[first])
        listed = lines[first][inner:].startswith("- ")
        end = self._block_end(lines, first, inner)
        if not listed:
            return self._shortcut_in_mapping(lines, first, end, steps)
        deeper = 2 if inner < span.column else 0  # the list has the same indent as its key
        pad = " " * (inner + deeper)
        main = [" " * deeper * bool(line.strip()) + line for line in lines[first:end]]
        shortcut = [f"{pad}shortcut:\n", *(f"{pad}{step}\n" for step in steps)]
        return "".join([*lines[:first], f"{pad}main:\n", *main, *shortcut, *lines[end:]])

    @staticmethod
    def _shortcut_in_mapping(lines: list[str], first: int, end: int, steps: Sequence[str]) -> str:
        """Return the text with `shortcut:` as the last key of a residual's mapping, or with steps below its empty
        `shortcut:`.
        """
        pad = " " * indent(lines[first])
        new = [f"{pad}  {step}\n" for step in steps]
        empty = re.compile(rf"{pad}shortcut:\s*(\[\]|null|~)?\s*(#.*)?\n")
        for number in range(first, end):
            if empty.fullmatch(lines[number]):
                key = re.sub(r":\s*(\[\]|null|~)", ":", lines[number], count=1)
                return "".join([*lines[:number], key, *new, *lines[number + 1 :]])
        return "".join([*lines[:end], f"{pad}shortcut:\n", *new, *lines[end:]])

    @staticmethod
    def _block_end(lines: list[str], first: int, column: int) -> int:
        """Return the number of the line after the last line of a block with this indent: a list, or a mapping."""
        end, listed = first + 1, lines[first][column:].startswith("- ")
        for number in range(first + 1, len(lines)):
            line = lines[number]
            if not is_content(line):
                continue
            if indent(line) < column or (listed and indent(line) == column and not line[column:].startswith("- ")):
                break
            end = number + 1
        return end

    def _if_readable(self, text: str) -> str | None:
        return text if self._read(text) is not None else None

    def _read(self, text: str) -> EditableSpec | None:
        """Return the edited text as an EditableSpec; None if it can no longer be read."""
        problems = Problems()
        spec = parse(text, self.spec.file, problems)
        return EditableSpec(text, spec) if spec is not None and not problems else None


def is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def iter_spec_nodes(thing: object) -> Iterator[object]:
    """Yield every dataclass in a spec, from the outside in."""
    if isinstance(thing, (tuple, list)):
        for item in thing:
            yield from iter_spec_nodes(item)
    elif is_dataclass(thing) and not isinstance(thing, (type, Span)):
        yield thing
        if not isinstance(thing, Expression):
            for field in fields(thing):
                yield from iter_spec_nodes(getattr(thing, field.name))
