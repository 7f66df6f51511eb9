"""Where a layer is made: a model and a path → the call in its author's source, with its arguments.

    model, "block1.conv2" → the module that holds it → what its class assigns there → nn.Conv2d(16, 31, 3, 1, 1)

By reading alone: no code is run. A call counts only if the layer is what it makes, as far as that can be told without
running it: of the class, with its literals, constants and defaults. A layer that several calls may have made, or that a
helper or a list has made, has none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from archscope.errors import Span
from archscope.record import walk
from archscope.targets.assignments import Assignment, assignments, sets_elsewhere
from archscope.targets.expressions import CONTAINERS, Made, Path, inside, is_empty
from archscope.targets.layer_arguments import arguments_of, is_same_value, is_torch_layer, parameters_of
from archscope.targets.source_files import UNKNOWN, Definition, Sources

WIDTHS = ("out_channels", "out_features", "embedding_dim")


@dataclass(frozen=True)
class Argument:
    """An argument's text, and where it stands: offsets in the text of the file."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Constructor:
    """The call that makes a layer.

    text: of the call. function: the method that it stands in. arguments: those that are given, by torch's names. also:
    the paths of other layers that the same call makes. repeated: it stands in a loop. source: the text of the file.
    end: the offset of its closing parenthesis. open_ended: whether `**options` may give more arguments.
    """

    place: Span
    text: str
    function: str
    arguments: Mapping[str, Argument]
    also: tuple[str, ...]
    repeated: bool
    source: str
    end: int
    open_ended: bool = False
    newline: str = "\n"

    def as_written(self, text: str) -> str:
        """A text of the file with the line ends that the file has."""
        return text.replace("\n", self.newline)

    def with_arguments(self, texts: Mapping[str, str]) -> str | None:
        """The text of the file with other arguments, those that are not given yet by name; None where `**options` may
        give them."""
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


def constructor_of(model: nn.Module, path: str) -> Constructor | None:
    """Where the layer of torch's at a path is made; None where that cannot be told for certain."""
    return Constructors(model).at(path)


@dataclass
class Constructors:
    """The constructors of one model's layers."""

    model: nn.Module
    sources: Sources = field(default_factory=Sources)
    found: dict[str, Made | None] = field(default_factory=dict)

    def at(self, path: str) -> Constructor | None:
        """As `constructor_of`."""
        made = self.made(path)
        if made is None:
            return None
        layer, file = self.module(path), made.definition.file
        return Constructor(
            place=file.place(made.call),
            text=file.segment(made.call),
            function=made.definition.node.name,
            arguments=given(made, type(layer)),
            also=tuple(self._also(path, made)),
            repeated=made.repeated,
            source=file.text,
            end=file.range(made.call)[1] - 1,
            newline=file.newline,
            open_ended=any(keyword.arg is None for keyword in made.call.keywords),
        )

    def module(self, path: str) -> nn.Module:
        """The module at a path. Raises KeyError where there is none."""
        return modules_on(self.model, parts_of(path))[-1]

    def made(self, path: str) -> Made | None:
        """The only call that can have made the layer at a path."""
        if path not in self.found:
            self.found[path] = self._made(path)
        return self.found[path]

    def shared_name(self, source: str, path: str) -> str:
        """The name that one layer's constructor has for its width, if the other's can say it too: both stand in one
        function, which binds it once, and the first comes first, in no loop. Empty where there is none."""
        first, second = self.made(source), self.made(path)
        if first is None or second is None or first.definition is not second.definition:
            return ""
        nodes = bound(first.call, type(self.module(source))) or {}
        node = next((nodes[name] for name in WIDTHS if name in nodes), None)
        early = (first.call.lineno, first.call.col_offset) < (second.call.lineno, second.call.col_offset)
        once = isinstance(node, ast.Name) and first.definition.stored.get(node.id) == 1
        return node.id if isinstance(node, ast.Name) and early and once and not first.repeated else ""

    def _also(self, path: str, made: Made) -> Iterator[str]:
        layer = self.module(path)
        for other, module in walk(self.model).modules:
            if type(module) is type(layer) and module is not layer:
                same = self.made(other)
                if same is not None and same.key == made.key:
                    yield other

    def _made(self, path: str) -> Made | None:
        names = parts_of(path)
        try:
            modules = modules_on(self.model, names)
        except KeyError:  # what the model does not hold, it has not made in a way that shows
            return None
        if not names or not is_torch_layer(modules[-1]):
            return None
        possible: list[Made | None] = []
        for depth, holder in enumerate(modules[:-1]):
            certain = False
            for one, sure in self._assigned(holder, names[depth:], modules[depth:]):
                possible.append(one)
                certain = certain or sure
            if certain:
                break
        fitting = {one.key if one else None: one for one in possible if one is None or self._fits(one, modules)}
        found = next(iter(fitting.values())) if len(fitting) == 1 else None
        return None if found is None or self._is_replaced(found, names, modules) else found

    # ------------------------------------------------------------ in the classes of one holder
    def _assigned(
        self, holder: nn.Module, names: Path, modules: Sequence[nn.Module]
    ) -> Iterator[tuple[Made | None, bool]]:
        """What may have made the layer below a holder, and whether it must have; None for what cannot be told."""
        if isinstance(holder, CONTAINERS) and type(holder) in CONTAINERS:
            return
        constructed = False
        for definition, is_constructor in self._methods(type(holder)):
            if is_constructor and constructed:
                continue  # a class below assigns it after its base class has
            found = [one for one in assignments(definition) if reaches(one, names, modules)]
            constructed = constructed or (is_constructor and any(not one.conditional for one in found))
            for one in found:
                for made in self._values(one, found, definition, names, modules):
                    yield made, is_constructor and not one.conditional

    def _methods(self, cls: type) -> Iterator[tuple[Definition, bool]]:
        """The methods of the author's classes, constructors first."""
        own = [base for base in cls.__mro__ if not base.__module__.startswith("torch.") and base is not object]
        members = [(name, value) for base in own for name, value in vars(base).items()]
        for wanted in (True, False):
            for name, value in members:
                definition = self.sources.definition(value) if (name == "__init__") is wanted else None
                if definition is not None:
                    yield definition, wanted

    def _values(
        self, one: Assignment, beside: Sequence[Assignment], definition: Definition, names: Path, modules: Any
    ) -> Iterator[Made | None]:
        """The calls that an assignment's value gives for the layer."""
        depth = len(one.path)
        longer = any(other.appended and other.path == one.path for other in beside)
        if one.value is None:
            yield None
        elif one.appended:
            yield from inside(definition, one.value, names[depth + 1 :], modules[depth + 1 :], repeated=True)
        elif not (longer and is_empty(one.value)):
            yield from inside(definition, one.value, names[depth:], modules[depth:], repeated=one.repeated)

    # ------------------------------------------------------------ whether it is that call
    def _fits(self, made: Made, modules: Sequence[nn.Module]) -> bool:
        """Whether a call gives a layer of this class with these arguments, as far as they can be read."""
        layer, definition = modules[-1], made.definition
        if definition.meaning(made.call.func) is not type(layer):
            return False
        nodes, present = bound(made.call, type(layer)), arguments_of(layer)
        if nodes is None:
            return False
        holder = next((m for m in reversed(modules[:-1]) if type(m) not in CONTAINERS), layer)
        values = {name: definition.value(node, vars(holder)) for name, node in nodes.items()}
        if all(keyword.arg is not None for keyword in made.call.keywords):
            parameters = parameters_of(type(layer)).items()
            values = {n: p.default for n, p in parameters if p.default not in (None, p.empty)} | values
        known = {name: value for name, value in values.items() if value is not UNKNOWN and name in present}
        right = all(value is None or is_same_value(value, present[name]) for name, value in known.items())
        return right and is_consistent(nodes, present)

    def _is_replaced(self, made: Made, names: Path, modules: Sequence[nn.Module]) -> bool:
        """Whether code of the same file may have put another module on the way: `net.fc = nn.Linear(512, 10)`."""
        for depth, name in enumerate(names, start=1):
            for value in sets_elsewhere(made.definition.file.tree, name):
                if value is not made.call and self._may_be(value, made, modules[: depth + 1]):
                    return True
        return False

    def _may_be(self, value: ast.expr, made: Made, modules: Sequence[nn.Module]) -> bool:
        """Whether an expression of the same file may have given the last of these modules."""
        meaning = made.definition.meaning(value.func) if isinstance(value, ast.Call) else UNKNOWN
        if meaning is not type(modules[-1]) or not isinstance(value, ast.Call):
            return meaning is UNKNOWN
        return not is_torch_layer(modules[-1]) or self._fits(replace(made, call=value), modules)


def parts_of(path: str) -> Path:
    return tuple(path.split(".")) if path else ()


def modules_on(model: nn.Module, names: Path) -> list[nn.Module]:
    """The model and every module on the way to a path, the one there included. Raises KeyError."""
    found = [model]
    for name in names:
        child = found[-1]._modules[name]
        if child is None:
            raise KeyError(name)
        found.append(child)
    return found


def reaches(one: Assignment, names: Path, modules: Sequence[nn.Module]) -> bool:
    """Whether an assignment gives the layer: to its path, or to a container on the way with only containers below."""
    depth = len(one.path)
    if not depth or not one.matches(names):
        return False
    return all(type(module) in CONTAINERS for module in modules[depth:-1])


def is_consistent(nodes: Mapping[str, ast.expr], present: Mapping[str, object]) -> bool:
    """Whether arguments that are given by the same name have the same value."""
    said: dict[str, object] = {}
    for name, node in nodes.items():
        if isinstance(node, ast.Name) and name in present:
            value = said.setdefault(node.id, present[name])
            if not is_same_value(value, present[name]):
                return False
    return True


# ------------------------------------------------------------ arguments
def bound(call: ast.Call, cls: type) -> dict[str, ast.expr] | None:
    """The arguments of a call by torch's names; None where they cannot be told."""
    parameters = parameters_of(cls)
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY]
    if not parameters or len(call.args) > len(named) or any(isinstance(node, ast.Starred) for node in call.args):
        return None
    by_name = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in parameters}
    return {**dict(zip(named, call.args, strict=False)), **{name: node for name, node in by_name.items() if name}}


def given(made: Made, cls: type) -> dict[str, Argument]:
    file = made.definition.file
    nodes = bound(made.call, cls) or {}
    return {name: Argument(file.segment(node), *file.range(node)) for name, node in nodes.items()}
