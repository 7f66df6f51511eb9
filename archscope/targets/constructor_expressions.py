"""Layers made by an expression in a constructor: `nn.Sequential(nn.X(), nn.Y())` and a path → the call of `nn.Y`.

expression ─ conditions, local names, containers, comprehensions ─→ the calls that may have made the layer at the path

Read from the source; no code is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from archscope.targets.source_files import FunctionDefinition

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
PathNames = tuple[str, ...]


@dataclass(frozen=True)
class CandidateCall:
    """A call that may have made a layer."""

    definition: FunctionDefinition
    call: ast.Call
    repeated: bool

    @property
    def key(self) -> tuple[str, int, int]:
        return self.definition.file.name, self.call.lineno, self.call.col_offset


def is_empty_container(node: ast.expr) -> bool:
    """Return whether a call makes an empty container: `nn.ModuleList()`, `nn.ModuleList([])`."""
    if not isinstance(node, ast.Call) or node.keywords or len(node.args) > 1:
        return False
    return not node.args or (isinstance(node.args[0], (ast.List, ast.Tuple)) and not node.args[0].elts)


def calls_at_path(
    definition: FunctionDefinition, node: ast.expr, names: PathNames, modules: Sequence[nn.Module], *, repeated: bool
) -> Iterator[CandidateCall | None]:
    """Yield the calls that may have made the module at a path below an expression's result; None if that is not known.

    modules: the result of the expression, and each module on the way to the end of the path.
    """
    match node:
        case ast.IfExp(body=one, orelse=other):
            for choice in (one, other):
                yield from calls_at_path(definition, choice, names, modules, repeated=repeated)
        case ast.Name(id=name):
            value = local_value(definition, name)
            yield from [None] if value is None else calls_at_path(definition, value, names, modules, repeated=repeated)
        case ast.Constant(value=None):
            return  # there is a layer, so this branch was not taken
        case ast.Call() if not names:
            yield CandidateCall(definition, node, repeated)
        case ast.Call():
            item, loop = container_entry(definition, node, names[0], modules[0])
            rest = names[1:], modules[1:]
            yield from [None] if item is None else calls_at_path(definition, item, *rest, repeated=repeated or loop)
        case _:
            yield None


def local_value(definition: FunctionDefinition, name: str) -> ast.expr | None:
    """Return the value of a local name that is bound once."""
    if definition.binding_counts.get(name) != 1:
        return None
    for node in ast.walk(definition.node):
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return value
    return None


ContainerEntry = tuple["ast.expr | None", bool]
NO_ENTRY: ContainerEntry = None, False


def container_entry(definition: FunctionDefinition, call: ast.Call, name: str, module: nn.Module) -> ContainerEntry:
    """Return the entry of a container's constructor under a name, and whether a comprehension makes it."""
    kind, size = definition.resolve_name(call.func), len(module._modules)
    if kind is not type(module):
        return NO_ENTRY
    if kind is nn.ModuleDict:
        return mapping_entry(call.args[0], name) if call.args else NO_ENTRY
    if kind is nn.ModuleList:
        return sequence_entry(call.args[0], name, size) if call.args else NO_ENTRY
    mapping = call.args[0] if len(call.args) == 1 else None
    if isinstance(mapping, ast.Dict) or is_dict_call(mapping):
        return mapping_entry(mapping, name)
    return item_entry(call.args, name, size)


def is_dict_call(node: ast.expr | None) -> bool:
    """Return whether it is `OrderedDict(…)` or `dict(…)`."""
    function = node.func if isinstance(node, ast.Call) else None
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("OrderedDict", "dict")


def sequence_entry(node: ast.expr, name: str, size: int) -> ContainerEntry:
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return item_entry(items, name, size)
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
            return element, True
    return NO_ENTRY


def item_entry(items: Sequence[ast.expr], name: str, size: int) -> ContainerEntry:
    """Return the item of a list at an index; one list may be unpacked among the items."""
    starred = [place for place, node in enumerate(items) if isinstance(node, ast.Starred)]
    number = int(name) if name.isdigit() else -1
    if not 0 <= number < size or len(starred) > 1 or (not starred and len(items) != size):
        return NO_ENTRY
    if not starred or number < starred[0]:
        return items[number], False
    behind = len(items) - starred[0] - 1
    if number >= size - behind:
        return items[number - size], False
    unpacked = items[starred[0]]
    assert isinstance(unpacked, ast.Starred)
    return sequence_entry(unpacked.value, str(number - starred[0]), size - len(items) + 1)


def mapping_entry(node: ast.expr | None, name: str) -> ContainerEntry:
    """Return the value of a key in `{…}`, `dict(a=…)`, `OrderedDict([("a", …)])`."""
    match node:
        case ast.Dict(keys=keys, values=values):
            pairs = list(zip(keys, values, strict=True))
        case ast.Call(args=[inner], keywords=[]) if is_dict_call(node):
            return mapping_entry(inner, name)
        case ast.Call(args=[], keywords=words) if is_dict_call(node):
            pairs = [(ast.Constant(word.arg), word.value) for word in words]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            pairs = [(one.elts[0], one.elts[1]) for one in items if isinstance(one, ast.Tuple) and len(one.elts) == 2]
        case _:
            return NO_ENTRY
    found = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == name]
    return (found[0], False) if len(found) == 1 and len(found) <= len(pairs) else NO_ENTRY
