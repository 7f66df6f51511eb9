"""The graph of a block as Python: `def forward(self, x): …`, a line for each node, and which step each line is.

Names are the graph's own, those of inputs the spec's. A value is deleted after its last use; what a loop captures,
after the loop.
"""

from __future__ import annotations

import builtins
import keyword
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import fx

from archscope.compile.built import CALLED, NAMES, REQUIREMENTS, Code, Line
from archscope.compile.functions import functions
from archscope.compile.plan import BlockPlan, Loop, is_number, keeps_all, last_uses, read_by
from archscope.trace import Site, join_path

SIGNS: Mapping[Callable, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.and_: "&",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}
PLAIN: Mapping[Callable, str] = {
    function: function.__name__ for function in (len, range, min, max, abs, round, sum, getattr)
}
INDENT = "    "


def code_of(plan: BlockPlan, target: str = "") -> Code:
    """The forward of a block. target: of a whole net, what it is built from."""
    return Writer(plan).code(target)


@cache
def torch_names() -> Mapping[int, str]:
    """The functions of the language by identity, as torch names them."""
    names = {id(torch.unbind): "torch.unbind", id(torch.cat): "torch.cat", id(torch.stack): "torch.stack"}
    for name, entry in functions().items():
        if not isinstance(entry.target, str):
            home = "torch" if getattr(torch, name, None) is entry.target else "torch.nn.functional"
            names[id(entry.target)] = f"{home}.{name}"
    return names


@dataclass
class Writer:
    """Writes one block's forward."""

    plan: BlockPlan
    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, Line]] = field(default_factory=list)
    names: dict[fx.Node, str] = field(default_factory=dict)
    inputs: dict[str, fx.Node] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {"self", *NAMES, *dir(builtins)})

    def code(self, target: str) -> Code:
        inputs = [node for node in self.plan.graph.nodes if node.op == "placeholder"]
        said = [(str(node.target), node) for node in inputs]
        self.inputs = {name: node for name, node in said if name != "self" and not keyword.iskeyword(name)}
        self.names = {node: name for name, node in self.inputs.items()}
        self.taken |= self.inputs.keys()
        self.write(0, f"def forward({', '.join(['self', *map(self.name, inputs)])}):")
        value = self.graph(self.plan.graph, 1, "")
        self.write(1, f"return {value}")
        name = self.plan.name if self.plan.name.isidentifier() and not keyword.iskeyword(self.plan.name) else "Net"
        return Code(name, "\n".join(self.lines) + "\n", tuple(self.steps), target)

    def known_as(self, name: str) -> str:
        """A name of the module that the forward stands in, which an input may hide."""
        first = name.split(".")[0]
        return f"_{name}" if first in self.inputs else name

    def name(self, node: fx.Node) -> str:
        """A node's name, unlike that of any other value of the forward."""
        if node not in self.names:
            name, count = node.name, 0
            while name in self.taken or keyword.iskeyword(name):
                count += 1
                name = f"{node.name}_{count}"
            self.taken.add(name)
            self.names[node] = name
        return self.names[node]

    def write(self, depth: int, text: str, site: Site | None = None, prefix: str = "") -> None:
        self.lines.append(INDENT * depth + text)
        if site is not None:
            place = f"{site.place.file}:{site.place.line}" if site.place else ""
            said = f"{site.name} {site.text}".strip()
            self.steps.append((len(self.lines), Line(join_path(prefix, site.path), said, place)))

    def graph(self, graph: fx.Graph, depth: int, prefix: str) -> str:
        """Writes the lines of a graph; gives its output as text."""
        uses = last_uses(graph)
        for node in graph.nodes:
            if node.op == "output":
                return self.text(node.args[0])
            ended = [v for v in uses.get(node, ()) if (v.op != "placeholder" or not prefix) and not is_number(v)]
            if "loop" in node.meta:
                ended = self.loop(node, node.meta["loop"], depth, prefix, ended)
            elif node.op != "placeholder":
                self.node(node, depth, prefix)
            if node.op != "placeholder":
                self.delete(depth, ended)
        raise AssertionError("a graph ends with its output")

    def node(self, node: fx.Node, depth: int, prefix: str) -> None:
        site = node.meta.get("site") or node.meta.get("step") or node.meta.get("line")
        text = self.call(node)
        self.write(depth, text if node.target in REQUIREMENTS else f"{self.name(node)} = {text}", site, prefix)

    def delete(self, depth: int, values: Iterable[fx.Node]) -> None:
        """Lets go of values that nothing reads any more."""
        names = [self.names[value] for value in values if value in self.names]
        if names:
            self.write(depth, f"del {', '.join(names)}")

    def loop(self, node: fx.Node, loop: Loop, depth: int, prefix: str, ended: list[fx.Node]) -> list[fx.Node]:
        """A `for` of Python, whose turns hand on one value and keep all of them, where they are read.

        ended: the values that the loop is the last to read; gives those that are still to be deleted.
        """
        start, items, count, captured = node.args
        prev, *more = [inner for inner in loop.turn.graph.nodes if inner.op == "placeholder"]
        item = more.pop(0) if loop.itemized else None
        number = more.pop(0)
        for outer, inner in zip(captured, more, strict=True):  # type: ignore[arg-type]
            self.names[inner] = self.text(outer)
        kept, every = keeps_all(node), self.unlike("turns")
        self.write(depth, f"{self.name(prev)} = {self.text(start)}")
        throughout = {*read_by((items, count, captured))}
        begun = [value for value in ended if value in {*read_by(start)} - throughout and value is not node]
        self.delete(depth, begun)
        if kept:
            self.write(depth, f"{every} = []")
        numbered = f"{self.known_as('enumerate')}({self.text(items)})"
        counted = f"{self.known_as('range')}({self.text(count)})"
        names = f"{self.name(number)}, {self.name(item)}" if item else self.name(number)
        self.write(depth, f"for {names} in {numbered if item else counted}:")
        value = self.graph(loop.turn.graph, depth + 1, join_path(prefix, loop.path))
        self.write(depth + 1, f"{self.name(prev)} = {value}")
        given = read_by(loop.turn.graph.output_node().args[0])
        self.delete(depth + 1, dict.fromkeys(n for n in given if n.op != "placeholder" and not is_number(n)))
        if kept:
            self.write(depth + 1, f"{every}.append({self.name(prev)})")
        self.write(depth, f"{self.name(node)} = {self.name(prev)}, {every if kept else None}")
        self.write(depth, f"del {self.name(prev)}{f', {every}' * kept}")
        return [value for value in ended if value not in begun]

    def unlike(self, name: str) -> str:
        count = 1
        while f"{name}_{count}" in self.taken:
            count += 1
        self.taken.add(f"{name}_{count}")
        return f"{name}_{count}"

    # Expressions

    def call(self, node: fx.Node) -> str:
        if node.op == "get_attr":
            return member(str(node.target))
        if node.op == "call_module":
            return f"{member(str(node.target))}({self.arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            return f"{self.text(node.args[0])}.{node.target}({self.arguments(node.args[1:], node.kwargs)})"
        return self.function(node.target, node.args, node.kwargs)  # type: ignore[arg-type]

    def function(self, target: Callable, args: tuple, kwargs: Mapping[str, Any]) -> str:
        if target is operator.getitem:
            return f"{self.text(args[0])}[{self.index(args[1])}]"
        if target in SIGNS:
            return f" {SIGNS[target]} ".join(self.operand(part) for part in args)
        if target is operator.contains:
            return f"{self.text(args[1])} in {self.text(args[0])}"
        if target in (operator.neg, operator.not_):
            return f"{'-' if target is operator.neg else 'not '}{self.operand(args[0])}"
        if target is getattr:
            return f"{self.text(args[0])}.{args[1]}"
        return f"{self.callee(target)}({self.arguments(args, kwargs)})"

    def callee(self, target: Callable) -> str:
        if target in CALLED:
            return self.known_as(target.__name__)
        if target in PLAIN:
            return self.known_as(PLAIN[target])
        if getattr(math, target.__name__, None) is target:
            return self.known_as(f"math.{target.__name__}")
        return self.known_as(torch_names()[id(target)])

    def arguments(self, args: tuple, kwargs: Mapping[str, Any]) -> str:
        return ", ".join([*map(self.text, args), *(f"{name}={self.text(value)}" for name, value in kwargs.items())])

    def operand(self, value: object) -> str:
        text = self.text(value)
        return f"({text})" if text.startswith("-") else text

    def index(self, value: object) -> str:
        if isinstance(value, tuple) and value:
            return ", ".join(map(self.index, value)) + "," * (len(value) == 1)
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            first, last, step = ("" if part is None else self.text(part) for part in parts)
            return f"{first}:{last}" + (f":{step}" if step else "")
        return self.text(value)

    def text(self, value: object) -> str:
        """A value as Python writes it."""
        if isinstance(value, fx.Node):
            return self.name(value)
        if isinstance(value, (list, tuple)):
            inner = ", ".join(map(self.text, value))
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key!r}: {self.text(part)}" for key, part in value.items()) + "}"
        if isinstance(value, slice):
            return f"slice({self.text(value.start)}, {self.text(value.stop)}, {self.text(value.step)})"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.known_as('float')}({str(value)!r})"
        if callable(value):
            return self.callee(value)
        if value is Ellipsis:
            return "..."
        return self.known_as(repr(value)) if isinstance(value, torch.dtype) else repr(value)


def member(path: str) -> str:
    """A member of the block as Python names it."""
    text = "self"
    for part in path.split("."):
        plain = part.isidentifier() and not keyword.iskeyword(part)
        text = f"{text}.{part}" if plain else f"getattr({text}, {part!r})"
    return text
