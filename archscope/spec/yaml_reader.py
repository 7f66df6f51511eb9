"""A strict YAML reader: text → events → nodes with places. No YAML 1.1 types, no merge keys, no Python objects.

    file → bytes (regular file, at most 1 MiB) → UTF-8 text → PyYAML's events → ScalarNode | SequenceNode | MappingNode

Depth, the number of nodes and the expansion of aliases are counted on the event stream, so that no small file becomes a
large tree. A call that is split by the comma of a flow list is reported with its help, and read whole so that reading
continues.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

import yaml

from archscope.errors import Problem, Problems, Span, did_you_mean
from archscope.spec import bundled_networks
from archscope.spec.expression import balanced_text, scan_brackets
from archscope.spec.yaml_errors import explain_yaml_error
from archscope.spec.yaml_nodes import (
    MAX_INTEGER,
    MappingNode,
    Node,
    ParseError,
    ScalarNode,
    SequenceNode,
    resolve_scalar,
)

Event = Any
"""PyYAML's events; their marks and flags are untyped, or typed as optional."""

MAX_BYTES = 1 << 20
MAX_NODES = 30_000
MAX_DEPTH = 60
MAX_FLOW_ITEMS = 5_000


def read_file(path: str, span: Span, shown: str) -> str:
    """Return the text of a regular UTF-8 file of at most 1 MiB. Raise ParseError at `span`; messages call the file
    `shown`.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a plain file"
            raise ParseError(span, f"{shown!r} is {kind}", "name a .yaml file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ParseError(span, f"there is no file {shown!r}", suggest_file(path)) from None
    except (OSError, ValueError) as error:
        raise ParseError(span, f"cannot read {shown!r}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise ParseError(span, f"{shown!r} is larger than {MAX_BYTES:,} bytes", "split it: blocks can be imported")
    return decode_utf8(data, shown, span)


def suggest_file(path: str) -> str:
    """Return a suggestion among the files of the same directory, else among the networks that come with the package."""
    folder, name = os.path.split(path)
    try:
        near = did_you_mean(name, sorted(os.listdir(folder or "."))[:1000])
    except OSError:
        near = ""
    return near or bundled_networks.suggest_for_path(path) or "check the path"


def decode_utf8(data: bytes, path: str, span: Span) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParseError(
            span, f"{path!r} is not UTF-8: byte 0x{data[error.start]:02x} on line {line}", "save it as UTF-8"
        ) from None


def read_yaml(text: str, file: str, problems: Problems) -> Node | None:
    """Return the one document of a text, or None if it cannot be read; its problems are added to `problems`."""
    if len(text) > MAX_BYTES:
        problems.add(Problem(Span(file, 1, 1), f"the text is larger than {MAX_BYTES:,} characters"))
        return None
    composer = Composer(text.removeprefix("\ufeff"), file, problems)
    try:
        return composer.document()
    except ParseError as fault:
        problems.add(fault.problem)
    except yaml.YAMLError as error:
        if not composer.resume:
            problems.add(explain_yaml_error(error, text, file))
    return None


class Composer:
    """A builder of nodes from events.

    Syntax errors and exceeded limits end the reading; duplicate keys, merge keys, tags and split calls are collected.
    """

    def __init__(self, text: str, file: str, problems: Problems):
        self.text, self.file, self.problems = text, file, problems
        self.anchors: dict[str, tuple[Node, int, int] | None] = {}
        self.count = self.deepest = 0
        self.resume = 0  # the offset after a call that a comma has split

    def document(self) -> Node:
        """Return the only document. Raise ParseError if there is none, or a second one."""
        self.events: Iterator[Event] = yaml.parse(self.text, Loader=yaml.SafeLoader)
        self.expect_event(yaml.StreamStartEvent)
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            raise ParseError(Span(self.file, 1, 1), "the file is empty", "a net needs 'input:' and 'layers:'")
        node = self.node(next(self.events), 1, False)
        self.expect_event(yaml.DocumentEndEvent)
        second = next(self.events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise ParseError(
                self.place(second), "a second document starts here", "one file is one net: remove the '---'"
            )
        return node

    def expect_event(self, kind: type) -> None:
        event = next(self.events)
        assert isinstance(event, kind), event

    def place(self, event: Event) -> Span:
        return Span(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Event, depth: int, flow: bool) -> Node:
        """Return the node that starts with `event`. Raise ParseError if a limit is exceeded."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        self.count_nodes(event, 1, depth)
        if getattr(event, "tag", None):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.report(event, f"tag {tag!r} is not part of the language", "remove it: types come from the text")
        before, outer = self.count, self.deepest
        self.deepest = depth
        if event.anchor:
            self.anchors[event.anchor] = None
        node = self.content(event, depth, flow)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.count - before + 1, self.deepest - depth)
        self.deepest = max(outer, self.deepest)
        return node

    def content(self, event: Event, depth: int, flow: bool) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, flow)
        if isinstance(event, yaml.SequenceStartEvent):
            return SequenceNode(tuple(self.items(depth, bool(event.flow_style))), self.place(event))
        return MappingNode(tuple(self.entries(depth, bool(event.flow_style))), self.place(event))

    def count_nodes(self, event: Event, nodes: int, depth: int) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            help = (
                "aliases count with everything that they repeat"
                if isinstance(event, yaml.AliasEvent)
                else "split the file"
            )
            raise ParseError(self.place(event), f"more than {MAX_NODES:,} YAML values", help)
        if depth > MAX_DEPTH:
            raise ParseError(self.place(event), f"nested more than {MAX_DEPTH} levels deep", "give parts of it a block")

    def alias(self, event: Event, depth: int) -> Node:
        """Return the anchored node, shared; its size and height count again."""
        if event.anchor not in self.anchors:
            fix = did_you_mean(event.anchor, self.anchors) or "quote it if it is text"
            raise ParseError(self.place(event), f"alias *{event.anchor} has no anchor &{event.anchor} above it", fix)
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise ParseError(self.place(event), f"alias *{event.anchor} is inside its own anchor", "use repeat:")
        node, size, height = anchored
        self.count_nodes(event, size, depth + height)
        self.deepest = max(self.deepest, depth + height)
        return node

    def scalar(self, event: Event, flow: bool) -> ScalarNode:
        span, plain, text = self.place(event), event.style is None, event.value
        if flow and plain and event.start_mark.index >= self.resume and scan_brackets(text).unclosed:
            return self.cut(event, span)
        value: int | float | bool | str | None = text
        try:
            value = resolve_scalar(text) if plain else text
        except ValueError as error:
            self.report(event, str(error), f"integers go up to {MAX_INTEGER:,}, floats to about 1.8e308")
        multiline = event.end_mark.line != event.start_mark.line
        return ScalarNode(text, value, span, span.shifted(1) if event.style in ("'", '"') else span, multiline)

    def cut(self, event: Event, span: Span) -> ScalarNode:
        """Return a scalar with an unclosed bracket in a flow list, read up to where its brackets close. Report the
        problem.
        """
        start = event.start_mark.index
        text = balanced_text(self.text, start)
        quoted = f": {quote_yaml(text)}" if text else ""
        self.report(
            event,
            f"unbalanced brackets in {event.value!r}",
            f"inside [...] YAML splits at commas: write one step per line with '- ', or quote it{quoted}",
        )
        self.resume = max(self.resume, start + len(text))
        text = text or event.value[: scan_brackets(event.value).unclosed[0]] or "prev"
        return ScalarNode(text, text, span, span)

    def items(self, depth: int, flow: bool) -> Iterator[Node]:
        count = 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            count += 1
            if flow and count > MAX_FLOW_ITEMS:
                fact = f"more than {MAX_FLOW_ITEMS:,} items in one [...]"
                raise ParseError(self.place(event), fact, "a list of one item a line may be longer")
            swallowed = event.start_mark.index < self.resume
            item = self.node(event, depth + 1, flow)
            if not swallowed:
                yield item

    def entries(self, depth: int, flow: bool) -> Iterator[tuple[ScalarNode, Node]]:
        seen: dict[str, ScalarNode] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            start = event.start_mark.index
            swallowed = start < self.resume
            key = self.node(event, depth + 1, flow)
            cut = start < self.resume
            value = self.node(next(self.events), depth + 1, flow)
            if not swallowed and not cut and self.is_valid_key(event, key, seen):
                assert isinstance(key, ScalarNode)
                seen[key.text] = key
                yield key, value

    def is_valid_key(self, event: Event, key: Node, seen: dict[str, ScalarNode]) -> bool:
        """Return whether a key is a word, not `<<`, and not a duplicate; report what is wrong with it."""
        if not isinstance(event, yaml.ScalarEvent) or not isinstance(key, ScalarNode):
            self.report(event, "a key is one word, not a list, mapping or alias", "quote it if it is text")
        elif key.text == "<<" and event.style is None:
            self.report(event, "merge keys ('<<') are not part of the language", "write the keys out, or make a block")
        elif not key.text:
            self.report(event, "a key is missing before ':'", "write 'name: value'")
        elif key.text in seen:
            first = seen[key.text].span
            text = f"duplicate key {key.text!r}: it is already set at {first.line}:{first.column}"
            self.report(event, text, "remove one, or write steps as a list with '- '")
        else:
            return True
        return False

    def report(self, event: Event, message: str, help: str) -> None:
        self.problems.add(Problem(self.place(event), message, help))


def quote_yaml(text: str) -> str:
    """Return a text as a double-quoted YAML scalar on one line, or single-quoted if it contains double quotes."""
    if '"' in text and "'" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
