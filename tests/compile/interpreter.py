"""A plain, eager interpreter of the language: a parsed spec, a built net's weights and inputs → the net's output.

It runs the steps in Python on the tensors it is given, as a hand-written `forward` would: sizes are ints, numbers are
Python's, and nothing is compiled. What the language means is taken from docs/language.md; of `archscope` it uses the
parser, and of the built net the layers and parameters at the paths that section 8 of that page gives them.

    run(library, built, inputs) → Run: the value, and the decisions that the structure of the net hangs on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from typing import Any

import torch
from torch import nn

from archscope.spec.spec_types import (
    Constant,
    Data,
    Expression,
    Input,
    Items,
    Join,
    Label,
    LayerCall,
    Library,
    Repeat,
    Residual,
    Setting,
    Spec,
    Step,
    Steps,
    Target,
    Variant,
    Word,
)
from archscope.spec.variants import parse_settings
from tests.compile.interpreter_expressions import Expressions
from tests.compile.interpreter_scopes import Entry, File, Frame, Scope
from tests.compile.interpreter_values import (
    BlockUse,
    Function,
    Layer,
    Made,
    Missing,
    Shared,
    UnlikeError,
    appearance,
    called,
    expected_appearance,
    fresh,
    tensors_in,
)


@dataclass
class Run:
    """The output of a run, and what may determine its structure: conditions, layers and shapes of parameters."""

    value: Any
    decisions: list[tuple[Any, ...]] = field(default_factory=list)


def run(
    library: Library,
    built: nn.Module,
    inputs: Sequence[torch.Tensor],
    *,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Run a spec's net at the sizes of `inputs`, with the weights of `built`."""
    chosen = chosen_variant(library.root, variant)
    given = {setting.name: setting.value for setting in (*library.root.params, *chosen.settings)}
    given |= {name: setting.value for name, setting in parse_settings(settings or {}).items()}
    file = File(library, library.root, given)
    interpreter = Interpreter(built)
    value = interpreter.net(file, tuple(inputs), {}, "", sized=True)
    return Run(value, interpreter.decisions)


def chosen_variant(spec: Spec, name: str | None) -> Variant:
    """Return the variant of that name, with the values of its row of the matrix; the first one for None."""
    plain = spec.variants or (Variant("", (), (), spec.span),)
    columns = [[(param.name, value) for value in items(param.value)] for param in spec.matrix]
    found = []
    for base, row in product(plain, product(*columns)):
        words = [f"{param}={written(value)}" for param, value in row]
        settings = (*base.settings, *(Setting(param, value, spec.span) for param, value in row))
        found.append(Variant(",".join(filter(None, [base.name, *words])), settings, (), spec.span))
    return next(variant for variant in found if name is None or variant.name == name)


def items(data: Data) -> tuple[Data, ...]:
    return data.items if isinstance(data, Items) else (data,)


def written(data: Data) -> str:
    return str(data.value) if isinstance(data, Constant) else data.text if isinstance(data, (Expression, Word)) else ""


class Interpreter(Expressions):
    """Runs steps; `Expressions` evaluates their expressions."""

    # ------------------------------------------------------------ nets, blocks, modules
    def net(self, file: File, inputs: tuple[Any, ...], args: Mapping[str, Any], path: str, *, sized: bool) -> Any:
        """Return the output of a file's net. sized: whether params that are dimensions get the inputs' sizes."""
        spec = file.spec
        assert spec.layers is not None
        frame = Frame(file, path)
        for entry, value in zip(spec.inputs, inputs, strict=True):
            frame.names[entry.name] = value
            for dim, size in zip(entry.dims or (), value.shape, strict=True):
                if dim.text in file.params and sized:
                    file.params[dim.text] = Constant(size, dim.span)
                elif dim.text.isidentifier() and dim.text not in file.params:
                    frame.names.setdefault(dim.text, size)
        file.net = frame
        self.name_features(frame, inputs[0])
        return self.body_value(spec.layers, spec.returns, frame, inputs[0])

    def block(self, made: Made, inputs: tuple[Any, ...], named: Mapping[str, Any], path: str) -> Any:
        """Return the output of one use of a block, at its path."""
        use = made.what
        assert isinstance(use, BlockUse)
        if use.block is None:
            return self.imported_net(made, inputs, path)
        block, frame = use.block, Frame(use.file, path, lets=use.block.let, modules=use.block.modules)
        declared = block.inputs or (Input("x", None, block.span),)
        values = dict(zip((entry.name for entry in declared), inputs, strict=False)) | dict(named)
        frame.names |= values
        given = dict(zip((argument.name for argument in block.arguments), made.args, strict=False)) | dict(made.kwargs)
        frame.names |= given
        for entry in declared:
            if entry.dims is not None:
                self.name_dimensions(frame, entry.dims, values[entry.name])
        self.name_features(frame, values[declared[0].name])
        for argument in block.arguments:
            if argument.name not in given:
                assert argument.default is not None, argument.name
                frame.names[argument.name] = self.value(argument.default, Scope(frame))
        return self.body_value(block.layers, block.returns, frame, values[declared[0].name])

    def imported_net(self, made: Made, inputs: tuple[Any, ...], path: str) -> Any:
        """Return the output of another file's net as a block; its arguments are its params and its variant."""
        assert isinstance(made.what, BlockUse)
        file: File = made.what.file
        given = dict(made.kwargs)
        chosen = chosen_variant(file.spec, given.pop("variant", None))
        data: dict[str, Any] = {setting.name: setting.value for setting in (*file.spec.params, *chosen.settings)}
        return self.net(File(file.library, file.spec, data | given), inputs, {}, path, sized=False)

    def name_features(self, frame: Frame, value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.dim() > 0:
            frame.names.setdefault("N", value.shape[0])
            frame.names.setdefault("in_features", value.shape[-1])
            if value.dim() > 1:
                frame.names.setdefault("in_channels", value.shape[1])

    def name_dimensions(self, frame: Frame, dims: tuple[Expression, ...], value: torch.Tensor) -> None:
        """Bind the dimensions whose names are new in this block, and check the others."""
        if len(dims) != value.dim():
            raise UnlikeError(f"{value.dim()} dimensions where {len(dims)} are wanted")
        for dim, size in zip(dims, value.shape, strict=True):
            if dim.text == "_":
                continue
            if dim.text.isidentifier() and dim.text not in frame.names:
                frame.names[dim.text] = size
            elif self.value(dim, Scope(frame)) != size:
                raise UnlikeError(f"a dimension is {size} where {dim.text} is wanted")

    def body_value(self, steps: Steps, returns: Data | None, frame: Frame, start: Any) -> Any:
        scope = Scope(frame)
        scope.labels["prev"] = Entry(start)
        self.steps(steps, scope, frame.path)
        if returns is None:
            return self.known(scope.labels["prev"].value)
        return self.data(returns, scope)

    def applied(self, made: Any, inputs: tuple[Any, ...], named: Mapping[str, Any], path: str) -> Any:
        """Return the output of a layer, a block or an entry of `modules` for these values."""
        if isinstance(made, Shared):
            return self.applied(made.made, inputs, named, made.path)
        made = made if isinstance(made, Made) else Made(made)
        if isinstance(made.what, BlockUse):
            return self.block(made, inputs, named, path)
        values = (*inputs, *named.values())
        wanted = expected_appearance(made, tuple(tensors_in(values)))
        self.decisions.append(("layer", path, str(wanted)))
        try:
            layer = self.member(path)
        except UnlikeError:
            layer = None
        if not isinstance(layer, nn.Module) or appearance(layer) != wanted:
            if wanted[1]:
                raise UnlikeError(f"{path} is not {wanted[0]}")
            layer = fresh(made, tuple(tensors_in(values))).train(self.built.training)
        return layer(*inputs, **named)

    # ------------------------------------------------------------ steps
    def steps(self, steps: Steps, scope: Scope, path: str) -> None:
        """Run a list of steps; its labels and its last value are bound in `scope`."""
        forms = [step for step in steps if step.target is None and names_its_parts(step.body)]
        for position, step in enumerate(steps):
            lone = len(forms) == 1 and forms[0] is step and step.loop is None
            here = path if lone else join(path, place(step, position))
            self.step(step, scope, here)

    def step(self, step: Step, scope: Scope, path: str) -> Entry:
        """Run one step; bind its value to `prev` and to its labels."""
        if step.when is not None:
            true = self.truth(self.value(step.when, scope))
            self.decisions.append(("when", path, true))
            if not true:
                entry = self.branch(step.otherwise, scope, path) if step.otherwise else scope.lookup_label("prev")
                scope.labels["prev"] = Entry(entry.value)
                return entry
        start = scope.lookup_label("prev")
        if step.source is not None:
            start = Entry(self.step_value(step.source, scope, path))
        entry = self.turns(step, scope, path, start)
        scope.labels["prev"] = Entry(entry.value)
        if isinstance(step.target, Label):
            scope.labels[step.target.name] = entry
        elif step.target is not None:
            self.unpack(step.target, entry.value, scope)
            kept = names_of(step.target)
            lone = scope.labels[kept[0]].value if len(kept) == 1 else Missing("several labels")
            scope.labels["prev"] = Entry(lone)
        return entry

    def turns(self, step: Step, scope: Scope, path: str, start: Entry) -> Entry:
        """Run the body once, or in every turn of the loop."""
        if step.loop is None:
            return self.body(step.body, scope.inner(prev=start), path)
        rows = self.rows(step.loop, scope)
        collected, entry = [], Entry(start.value)
        for number, names in enumerate(rows):
            inner = scope.inner(prev=Entry(entry.value))
            inner.names |= {"i": number, "first": number == 0, "last": number == len(rows) - 1, **names}
            entry = self.body(step.body, inner, join(path, str(number)))
            collected.append(entry.value)
        if step.collect is not None:
            scope.labels[step.collect.name] = Entry(collected)
        return Entry(entry.value)

    def rows(self, loop: Any, scope: Scope) -> list[dict[str, Any]]:
        """Return the names of each turn."""
        if isinstance(loop, Repeat):
            return [{}] * self.value(loop.count, scope)
        found = self.data(loop.items, scope)
        if loop.single:
            return [{loop.names[0].name: item} for item in found]
        return [dict(zip((label.name for label in loop.names), row, strict=True)) for row in found]

    def body(self, body: Any, scope: Scope, path: str) -> Entry:
        """Run the body of a step; `scope` is a new one, whose `prev` is the start value."""
        match body:
            case Expression():
                return Entry(self.step_value(body, scope, path))
            case LayerCall():
                value = self.long_form(body, scope)
                return Entry(self.applied(value, (self.prev(scope),), {}, path))
            case Residual():
                return self.residual(body, scope, path)
            case Join():
                return self.joined(body, scope, path)
            case Step():
                entry = self.step(body, scope, join(path, target_place(body.target)))
                if body.target is None:
                    return entry
            case _:
                self.steps(body, scope, path)
        members = {name: entry for name, entry in scope.labels.items() if name != "prev"}
        return Entry(scope.labels["prev"].value, members)

    def branch(self, steps: Steps, scope: Scope, path: str) -> Entry:
        """Run steps on `prev`; a single step without a label has the path of the branch."""
        inner = scope.inner(prev=scope.lookup_label("prev"))
        if len(steps) == 1 and steps[0].target is None:
            self.step(steps[0], inner, path)
            return inner.labels["prev"]
        return self.body(steps, inner, path)

    def residual(self, form: Residual, scope: Scope, path: str) -> Entry:
        prev = self.prev(scope)
        main = self.branch(form.main, scope, join(path, "main"))
        if form.when is not None:
            true = self.truth(self.value(form.when, scope))
            self.decisions.append(("when", path, true))
            if not true:
                return Entry(main.value, {"main": main})
        short = self.branch(form.shortcut, scope, join(path, "shortcut")) if form.shortcut else Entry(prev)
        return Entry(added(main.value, short.value), {"main": main, "shortcut": short})

    def joined(self, form: Join, scope: Scope, path: str) -> Entry:
        found = {
            branch.name or str(number): self.branch(branch.steps, scope, join(path, branch.name or str(number)))
            for number, branch in enumerate(form.branches)
        }
        values = [entry.value for entry in found.values()]
        if form.kind in ("concat", "stack"):
            dim = self.value(form.dim, scope) if form.dim else int(form.kind == "concat")
            return Entry((torch.cat if form.kind == "concat" else torch.stack)(values, dim=dim), found)
        return Entry(reduce(added if form.kind == "add" else torch.mul, values), found)

    def step_value(self, expression: Expression, scope: Scope, path: str) -> Any:
        """Evaluate an expression as a step: a layer, block or function without a tensor is applied to `prev`."""
        value = self.step_expression(expression, scope, path)
        if isinstance(value, (Layer, BlockUse, Made, Shared)):
            return self.applied(value, (self.prev(scope),), {}, path)
        return called(value.name, (self.prev(scope),), {}, on_prev=True) if isinstance(value, Function) else value

    def unpack(self, target: Target, value: Any, scope: Scope) -> None:
        if isinstance(target, Label):
            scope.labels[target.name] = Entry(value)
            return
        parts = value.unbind(0) if isinstance(value, torch.Tensor) else value
        if len(parts) != len(target):
            raise UnlikeError(f"{len(parts)} values for {len(target)} labels")
        for inner, part in zip(target, parts, strict=True):
            self.unpack(inner, part, scope)


def names_of(target: Target) -> list[str]:
    """Return the labels of a target, without `_`."""
    if isinstance(target, Label):
        return [target.name] if target.name != "_" else []
    return [name for part in target for name in names_of(part)]


def target_place(target: Target | None) -> str:
    return "" if target is None else names_of(target)[0]


def place(step: Step, position: int) -> str:
    """Return a step's part of a path: its (first) label, or its position."""
    return target_place(step.target) or str(position)


def names_its_parts(body: Any) -> bool:
    """Return whether a form adds no level to paths: branches without names are numbered, as steps are."""
    return isinstance(body, Residual) or (isinstance(body, Join) and body.branches[0].name is not None)


def join(path: str, part: str) -> str:
    return ".".join(filter(None, [path, part]))


def added(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return a sum that does not broadcast."""
    if left.shape != right.shape:
        raise UnlikeError(f"{tuple(left.shape)} + {tuple(right.shape)}")
    return left + right
