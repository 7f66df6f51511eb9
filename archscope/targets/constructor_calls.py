"""The calls that construct layers: a model and a path → the call in its author's source, with its arguments.

model, "block1.conv2" → the module that contains it → the assignment in its class → nn.Conv2d(16, 31, 3, 1, 1)

Read from the source; no code is run. A call is returned only if the layer matches it, as far as that is known without
running it: class, literals, constants and defaults. There is none for a layer that several calls may have made, or that
was made by a helper function or taken from a list.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from archscope.errors import Span
from archscope.record import walk_modules
from archscope.targets.assignments import Assignment, find_assignments, outside_assignments
from archscope.targets.constructor_expressions import (
    CONTAINERS,
    CandidateCall,
    PathNames,
    calls_at_path,
    is_empty_container,
)
from archscope.targets.layer_arguments import constructor_parameters, is_same_value, is_torch_layer, present_arguments
from archscope.targets.source_files import UNRESOLVED, FunctionDefinition, SourceCache

WIDTH_ARGUMENTS = ("out_channels", "out_features", "embedding_dim")


@dataclass(frozen=True)
class SourceArgument:
    """An argument's text and its start and end offsets in the file's text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class ConstructorCall:
    """The call that makes a layer.

    text: of the call. function: the method that contains it. arguments: those that are given, by torch's names. also:
    the paths of other layers that the same call makes. repeated: it is in a loop. source: the text of the file. end:
    the offset of its closing parenthesis. open_ended: whether `**options` may give more arguments.
    """

    place: Span
    text: str
    function: str
    arguments: Mapping[str, SourceArgument]
    other_paths: tuple[str, ...]
    repeated: bool
    source: str
    end: int
    open_ended: bool = False
    newline: str = "\n"

    def as_written(self, text: str) -> str:
        """Return a text of the file with the line endings of the file."""
        return text.replace("\n", self.newline)

    def with_arguments(self, texts: Mapping[str, str]) -> str | None:
        """Return the text of the file with other arguments, added by name if they are not given yet; None if
        `**options` may give them.
        """
        edits = []
        for name, text in texts.items():
            given = self.arguments.get(name)
            if given is None and self.open_ended:
                return None
            edits.append((given.start, given.end, text) if given else (self.end, self.end, self._added(name, text)))
        changed = self.source
        for start, end, text in sorted(edits, key=lambda edit: edit[0], reverse=True):
            changed = changed[:start] + text + changed[end:]
        return changed

    def _added(self, name: str, text: str) -> str:
        before = self.source[: self.end].rstrip()
        lead = "" if before.endswith("(") else " " if before.endswith(",") else ", "
        return f"{lead}{name}={text}"


def find_constructor_call(model: nn.Module, path: str) -> ConstructorCall | None:
    """Return the call that makes the torch layer at a path; None if that is not certain."""
    return ConstructorFinder(model).at(path)


@dataclass
class ConstructorFinder:
    """A finder for the constructor calls of one model's layers."""

    model: nn.Module
    sources: SourceCache = field(default_factory=SourceCache)
    found: dict[str, CandidateCall | None] = field(default_factory=dict)

    def at(self, path: str) -> ConstructorCall | None:
        """Return the call as `find_constructor_call` does."""
        candidate = self.unique_candidate(path)
        if candidate is None:
            return None
        nodes = bind_nodes(candidate.call, type(self.module(path))) or {}
        file = candidate.definition.file
        return ConstructorCall(
            place=file.place(candidate.call),
            text=file.segment(candidate.call),
            function=candidate.definition.node.name,
            arguments={name: SourceArgument(file.segment(node), *file.range(node)) for name, node in nodes.items()},
            other_paths=tuple(self._other_paths(path, candidate)),
            repeated=candidate.repeated,
            source=file.text,
            end=file.range(candidate.call)[1] - 1,
            newline=file.newline,
            open_ended=any(keyword.arg is None for keyword in candidate.call.keywords),
        )

    def module(self, path: str) -> nn.Module:
        """Return the module at a path. Raise KeyError if there is none."""
        return modules_along(self.model, path_names(path))[-1]

    def unique_candidate(self, path: str) -> CandidateCall | None:
        """Return the only call that can have made the layer at a path."""
        if path not in self.found:
            self.found[path] = self._made(path)
        return self.found[path]

    def shared_width_name(self, source: str, path: str) -> str:
        """Return the name that one layer's constructor uses for its width, if the other one can use it too; "" if not.

        Both calls must be in one function that binds the name once, the first layer first, and in no loop.
        """
        first, second = self.unique_candidate(source), self.unique_candidate(path)
        if first is None or second is None or first.definition is not second.definition:
            return ""
        nodes = bind_nodes(first.call, type(self.module(source))) or {}
        node = next((nodes[name] for name in WIDTH_ARGUMENTS if name in nodes), None)
        early = (first.call.lineno, first.call.col_offset) < (second.call.lineno, second.call.col_offset)
        once = isinstance(node, ast.Name) and first.definition.binding_counts.get(node.id) == 1
        return node.id if isinstance(node, ast.Name) and early and once and not first.repeated else ""

    def _other_paths(self, path: str, candidate: CandidateCall) -> Iterator[str]:
        layer = self.module(path)
        for other, module in walk_modules(self.model).modules:
            if type(module) is type(layer) and module is not layer:
                same = self.unique_candidate(other)
                if same is not None and same.key == candidate.key:
                    yield other

    def _made(self, path: str) -> CandidateCall | None:
        names = path_names(path)
        try:
            modules = modules_along(self.model, names)
        except KeyError:  # a layer that the model does not contain has no path
            return None
        if not names or not is_torch_layer(modules[-1]):
            return None
        possible: list[CandidateCall | None] = []
        for depth, parent in enumerate(modules[:-1]):
            certain = False
            for candidate, is_certain in self._parent_candidates(parent, names[depth:], modules[depth:]):
                possible.append(candidate)
                certain = certain or is_certain
            if certain:
                break
        fitting = {
            one.key if one else None: one for one in possible if one is None or self._matches_layer(one, modules)
        }
        found = next(iter(fitting.values())) if len(fitting) == 1 else None
        return None if found is None or self._is_replaced(found, names, modules) else found

    # ------------------------------------------------------------ in the classes of one parent module
    def _parent_candidates(
        self, parent: nn.Module, names: PathNames, modules: Sequence[nn.Module]
    ) -> Iterator[tuple[CandidateCall | None, bool]]:
        """Yield the calls that may have made the layer, and whether each of them must have; None if that is
        not known.
        """
        if isinstance(parent, CONTAINERS) and type(parent) in CONTAINERS:
            return
        constructed = False
        for definition, is_constructor in self._methods(type(parent)):
            if is_constructor and constructed:
                continue  # a subclass assigns it after its base class
            found = [one for one in find_assignments(definition) if assigns_layer(one, names, modules)]
            constructed = constructed or (is_constructor and any(not one.conditional for one in found))
            for one in found:
                for candidate in self._value_candidates(one, found, definition, names, modules):
                    yield candidate, is_constructor and not one.conditional

    def _methods(self, cls: type) -> Iterator[tuple[FunctionDefinition, bool]]:
        """Yield the methods of the author's classes, constructors first."""
        own = [base for base in cls.__mro__ if not base.__module__.startswith("torch.") and base is not object]
        members = [(name, value) for base in own for name, value in vars(base).items()]
        for wanted in (True, False):
            for name, value in members:
                definition = self.sources.definition(value) if (name == "__init__") is wanted else None
                if definition is not None:
                    yield definition, wanted

    def _value_candidates(
        self,
        assignment: Assignment,
        beside: Sequence[Assignment],
        definition: FunctionDefinition,
        names: PathNames,
        modules: Any,
    ) -> Iterator[CandidateCall | None]:
        """Yield the calls that an assigned value may have made the layer with."""
        depth = len(assignment.path)
        longer = any(other.appended and other.path == assignment.path for other in beside)
        if assignment.value is None:
            yield None
        elif assignment.appended:
            yield from calls_at_path(
                definition, assignment.value, names[depth + 1 :], modules[depth + 1 :], repeated=True
            )
        elif not (longer and is_empty_container(assignment.value)):
            yield from calls_at_path(
                definition, assignment.value, names[depth:], modules[depth:], repeated=assignment.repeated
            )

    # ------------------------------------------------------------ whether a call matches the layer
    def _matches_layer(self, candidate: CandidateCall, modules: Sequence[nn.Module]) -> bool:
        """Return whether a call makes a layer of this class with these arguments, as far as they can be read."""
        layer, definition = modules[-1], candidate.definition
        if definition.resolve_name(candidate.call.func) is not type(layer):
            return False
        nodes, present = bind_nodes(candidate.call, type(layer)), present_arguments(layer)
        if nodes is None:
            return False
        parent = next((m for m in reversed(modules[:-1]) if type(m) not in CONTAINERS), layer)
        values = {name: definition.value(node, vars(parent)) for name, node in nodes.items()}
        if all(keyword.arg is not None for keyword in candidate.call.keywords):
            parameters = constructor_parameters(type(layer)).items()
            values = {n: p.default for n, p in parameters if p.default not in (None, p.empty)} | values
        known = {name: value for name, value in values.items() if value is not UNRESOLVED and name in present}
        right = all(value is None or is_same_value(value, present[name]) for name, value in known.items())
        return right and is_consistent(nodes, present)

    def _is_replaced(self, candidate: CandidateCall, names: PathNames, modules: Sequence[nn.Module]) -> bool:
        """Return whether code of the same file may have replaced a module on the path: `net.fc =
        nn.Linear(512, 10)`.
        """
        for depth, name in enumerate(names, start=1):
            for value in outside_assignments(candidate.definition.file.tree, name):
                if value is not candidate.call and self._may_replace(value, candidate, modules[: depth + 1]):
                    return True
        return False

    def _may_replace(self, value: ast.expr, candidate: CandidateCall, modules: Sequence[nn.Module]) -> bool:
        """Return whether an expression of the same file may have made the last of these modules."""
        meaning = candidate.definition.resolve_name(value.func) if isinstance(value, ast.Call) else UNRESOLVED
        if meaning is not type(modules[-1]) or not isinstance(value, ast.Call):
            return meaning is UNRESOLVED
        return not is_torch_layer(modules[-1]) or self._matches_layer(replace(candidate, call=value), modules)


def path_names(path: str) -> PathNames:
    return tuple(path.split(".")) if path else ()


def modules_along(model: nn.Module, names: PathNames) -> list[nn.Module]:
    """Return the model and every module on the way to a path, the last one included. Raise KeyError."""
    found = [model]
    for name in names:
        child = found[-1]._modules[name]
        if child is None:
            raise KeyError(name)
        found.append(child)
    return found


def assigns_layer(assignment: Assignment, names: PathNames, modules: Sequence[nn.Module]) -> bool:
    """Return whether an assignment sets the layer: at its path, or a container on the path with only
    containers below.
    """
    depth = len(assignment.path)
    if not depth or not assignment.matches(names):
        return False
    return all(type(module) in CONTAINERS for module in modules[depth:-1])


def is_consistent(nodes: Mapping[str, ast.expr], present: Mapping[str, object]) -> bool:
    """Return whether arguments that are given by the same name have the same value."""
    values: dict[str, object] = {}
    for name, node in nodes.items():
        if isinstance(node, ast.Name) and name in present:
            value = values.setdefault(node.id, present[name])
            if not is_same_value(value, present[name]):
                return False
    return True


# ------------------------------------------------------------ arguments
def bind_nodes(call: ast.Call, cls: type) -> dict[str, ast.expr] | None:
    """Return the arguments of a call by torch's names; None if they are not known."""
    parameters = constructor_parameters(cls)
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY]
    if not parameters or len(call.args) > len(named) or any(isinstance(node, ast.Starred) for node in call.args):
        return None
    by_name = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in parameters}
    return {**dict(zip(named, call.args, strict=False)), **{name: node for name, node in by_name.items() if name}}
