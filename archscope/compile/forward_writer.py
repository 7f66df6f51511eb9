"""Python code from the graph of a block: `def forward(self, x): …`, a line for each node, with the step of each line.

Variables have the names of the nodes, inputs those of the spec. A value is deleted after its last use; a value used in
a loop, after the loop.
"""

from __future__ import annotations

import builtins
import keyword
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import EllipsisType
from typing import Any

import torch
from torch import fx
from torch.fx.node import Argument

from archscope.compile.built_net import FORWARD_FUNCTIONS, FORWARD_NAMES, REQUIRE_FUNCTIONS, CodeLine, ForwardCode
from archscope.compile.functions import language_functions
from archscope.compile.plan import BlockPlan, LoopPlan, argument_nodes, has_collected_turns, is_number_node, last_uses
from archscope.trace import Location, join_path

OPERATOR_SIGNS: Mapping[Callable, str] = {
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
BUILTIN_NAMES: Mapping[Callable, str] = {
    function: function.__name__ for function in (len, range, min, max, abs, round, sum, getattr)
}
INDENT = "    "


def write_forward(plan: BlockPlan, target: str = "") -> ForwardCode:
    """Return the forward code of a block. target: of a whole net, the arguments of `build`."""
    return ForwardWriter(plan).write_code(target)


@cache
def torch_paths() -> Mapping[int, str]:
    """Return the functions of the language by identity, with their names in torch."""
    names = {id(torch.unbind): "torch.unbind", id(torch.cat): "torch.cat", id(torch.stack): "torch.stack"}
    for name, entry in language_functions().items():
        if not isinstance(entry.target, str):
            home = "torch" if getattr(torch, name, None) is entry.target else "torch.nn.functional"
            names[id(entry.target)] = f"{home}.{name}"
    return names


@dataclass
class ForwardWriter:
    """Writes the forward code of one block."""

    plan: BlockPlan
    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, CodeLine]] = field(default_factory=list)
    names: dict[fx.Node, str] = field(default_factory=dict)
    inputs: dict[str, fx.Node] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {"self", *FORWARD_NAMES, *dir(builtins)})

    def write_code(self, target: str) -> ForwardCode:
        inputs = [node for node in self.plan.graph.nodes if node.op == "placeholder"]
        said = [(str(node.target), node) for node in inputs]
        self.inputs = {name: node for name, node in said if name != "self" and not keyword.iskeyword(name)}
        self.names = {node: name for name, node in self.inputs.items()}
        self.taken |= self.inputs.keys()
        self.add_line(0, f"def forward({', '.join(['self', *map(self.node_name, inputs)])}):")
        value = self.write_graph(self.plan.graph, 1, "")
        self.add_line(1, f"return {value}")
        name = self.plan.name if self.plan.name.isidentifier() and not keyword.iskeyword(self.plan.name) else "Net"
        return ForwardCode(name, "\n".join(self.lines) + "\n", tuple(self.steps), target)

    def global_name(self, name: str) -> str:
        """Return the name of a global of the generated module, prefixed if an input has the same name."""
        first = name.split(".")[0]
        return f"_{name}" if first in self.inputs else name

    def node_name(self, node: fx.Node) -> str:
        """Return the unique variable name of a node."""
        if node not in self.names:
            name, count = node.name, 0
            while name in self.taken or keyword.iskeyword(name):
                count += 1
                name = f"{node.name}_{count}"
            self.taken.add(name)
            self.names[node] = name
        return self.names[node]

    def add_line(self, depth: int, text: str, site: Location | None = None, prefix: str = "") -> None:
        self.lines.append(INDENT * depth + text)
        if site is not None:
            place = f"{site.place.file}:{site.place.line}" if site.place else ""
            said = f"{site.name} {site.text}".strip()
            self.steps.append((len(self.lines), CodeLine(join_path(prefix, site.path), said, place)))

    def write_graph(self, graph: fx.Graph, depth: int, prefix: str) -> str:
        """Write the lines of a graph; return its output as text."""
        uses = last_uses(graph)
        for node in graph.nodes:
            if node.op == "output":
                return self.value_text(node.args[0])
            ended = [v for v in uses.get(node, ()) if (v.op != "placeholder" or not prefix) and not is_number_node(v)]
            if "loop" in node.meta:
                ended = self.write_loop(node, node.meta["loop"], depth, prefix, ended)
            elif node.op != "placeholder":
                self.write_node(node, depth, prefix)
            if node.op != "placeholder":
                self.write_del(depth, ended)
        raise AssertionError("a graph ends with its output")

    def write_node(self, node: fx.Node, depth: int, prefix: str) -> None:
        site = node.meta.get("site") or node.meta.get("step") or node.meta.get("line")
        text = self.call_text(node)
        self.add_line(
            depth, text if node.target in REQUIRE_FUNCTIONS else f"{self.node_name(node)} = {text}", site, prefix
        )

    def write_del(self, depth: int, values: Iterable[fx.Node]) -> None:
        """Write `del` for values that nothing reads any more."""
        names = [self.names[value] for value in values if value in self.names]
        if names:
            self.add_line(depth, f"del {', '.join(names)}")

    def write_loop(self, node: fx.Node, loop: LoopPlan, depth: int, prefix: str, ended: list[fx.Node]) -> list[fx.Node]:
        """Write a `for` loop, whose turns pass on one value and, if they are read, collect all values.

        ended: the values whose last use is the loop. Returns those that are still to be deleted.
        """
        captured: Any
        start, items, count, captured = node.args
        prev, *more = [inner for inner in loop.turn.graph.nodes if inner.op == "placeholder"]
        item = more.pop(0) if loop.itemized else None
        number = more.pop(0)
        for outer, inner in zip(captured, more, strict=True):
            self.names[inner] = self.value_text(outer)
        collected, every = has_collected_turns(node), self.fresh_name("turns")
        self.add_line(depth, f"{self.node_name(prev)} = {self.value_text(start)}")
        throughout = {*argument_nodes((items, count, captured))}
        begun = [value for value in ended if value in {*argument_nodes(start)} - throughout and value is not node]
        self.write_del(depth, begun)
        if collected:
            self.add_line(depth, f"{every} = []")
        numbered = f"{self.global_name('enumerate')}({self.value_text(items)})"
        counted = f"{self.global_name('range')}({self.value_text(count)})"
        names = f"{self.node_name(number)}, {self.node_name(item)}" if item else self.node_name(number)
        self.add_line(depth, f"for {names} in {numbered if item else counted}:")
        value = self.write_graph(loop.turn.graph, depth + 1, join_path(prefix, loop.path))
        self.add_line(depth + 1, f"{self.node_name(prev)} = {value}")
        given = argument_nodes(loop.turn.graph.output_node().args[0])
        self.write_del(depth + 1, dict.fromkeys(n for n in given if n.op != "placeholder" and not is_number_node(n)))
        if collected:
            self.add_line(depth + 1, f"{every}.append({self.node_name(prev)})")
        self.add_line(depth, f"{self.node_name(node)} = {self.node_name(prev)}, {every if collected else None}")
        self.add_line(depth, f"del {self.node_name(prev)}{f', {every}' * collected}")
        return [value for value in ended if value not in begun]

    def fresh_name(self, name: str) -> str:
        count = 1
        while f"{name}_{count}" in self.taken:
            count += 1
        self.taken.add(f"{name}_{count}")
        return f"{name}_{count}"

    # Expressions

    def call_text(self, node: fx.Node) -> str:
        if callable(node.target):
            return self.function_text(node.target, node.args, node.kwargs)
        if node.op == "get_attr":
            return member_expression(str(node.target))
        if node.op == "call_module":
            return f"{member_expression(str(node.target))}({self.arguments_text(node.args, node.kwargs)})"
        return f"{self.value_text(node.args[0])}.{node.target}({self.arguments_text(node.args[1:], node.kwargs)})"

    def function_text(self, target: Callable, args: tuple, kwargs: Mapping[str, Any]) -> str:
        if target is operator.getitem:
            return f"{self.value_text(args[0])}[{self.index_text(args[1])}]"
        if target in OPERATOR_SIGNS:
            return f" {OPERATOR_SIGNS[target]} ".join(self.operand_text(part) for part in args)
        if target is operator.contains:
            return f"{self.value_text(args[1])} in {self.value_text(args[0])}"
        if target in (operator.neg, operator.not_):
            return f"{'-' if target is operator.neg else 'not '}{self.operand_text(args[0])}"
        if target is getattr:
            return f"{self.value_text(args[0])}.{args[1]}"
        return f"{self.callee_text(target)}({self.arguments_text(args, kwargs)})"

    def callee_text(self, target: Callable) -> str:
        if target in FORWARD_FUNCTIONS:
            return self.global_name(target.__name__)
        if target in BUILTIN_NAMES:
            return self.global_name(BUILTIN_NAMES[target])
        if getattr(math, target.__name__, None) is target:
            return self.global_name(f"math.{target.__name__}")
        return self.global_name(torch_paths()[id(target)])

    def arguments_text(self, args: tuple, kwargs: Mapping[str, Any]) -> str:
        return ", ".join(
            [*map(self.value_text, args), *(f"{name}={self.value_text(value)}" for name, value in kwargs.items())]
        )

    def operand_text(self, value: Argument) -> str:
        text = self.value_text(value)
        return f"({text})" if text.startswith("-") else text

    def index_text(self, value: Argument) -> str:
        if isinstance(value, tuple) and value:
            return ", ".join(map(self.index_text, value)) + "," * (len(value) == 1)
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            first, last, step = ("" if part is None else self.value_text(part) for part in parts)
            return f"{first}:{last}" + (f":{step}" if step else "")
        return self.value_text(value)

    def value_text(self, value: Argument | EllipsisType) -> str:
        """Return a value as Python code."""
        if isinstance(value, fx.Node):
            return self.node_name(value)
        if isinstance(value, (list, tuple)):
            inner = ", ".join(map(self.value_text, value))
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key!r}: {self.value_text(part)}" for key, part in value.items()) + "}"
        if isinstance(value, slice):
            return (
                f"slice({self.value_text(value.start)}, {self.value_text(value.stop)}, {self.value_text(value.step)})"
            )
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.global_name('float')}({str(value)!r})"
        if callable(value):
            return self.callee_text(value)
        if value is Ellipsis:
            return "..."
        return self.global_name(repr(value)) if isinstance(value, torch.dtype) else repr(value)


def member_expression(path: str) -> str:
    """Return the expression for a member of the block."""
    text = "self"
    for part in path.split("."):
        plain = part.isidentifier() and not keyword.iskeyword(part)
        text = f"{text}.{part}" if plain else f"getattr({text}, {part!r})"
    return text
