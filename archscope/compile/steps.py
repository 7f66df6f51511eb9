"""The steps of a block, one after the other: each gets `prev`, gives a value, and may leave a label.

    list of steps → step (when, from, loop) → body (expression, long form, group, form) → value → labels, expectations

A step's path is its labels and positions joined by dots. A list's only unlabelled form with named branches (a lone
`residual:`) adds no
level of its own, so that its branches read `layer1.0.main.3`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import fx

from archscope.compile.expectations import expected_of
from archscope.compile.forms import branch_names, join_branches, residual
from archscope.compile.graphs import Here
from archscope.compile.kinds import Declaration, Kind, Layer, RawParameter
from archscope.compile.layers import takes_words
from archscope.compile.loops import turns
from archscope.compile.numbers import RuntimeList
from archscope.compile.plan import Raw, is_number
from archscope.compile.scope import Lazy, Scope
from archscope.compile.signatures import signature
from archscope.compile.step_text import step_text
from archscope.compile.use import Use, last_node, nodes_after
from archscope.compile.values import Function, Pending, Tensor, holds_tensor
from archscope.errors import ArchscopeError, Problem, Span, did_you_mean
from archscope.spec.complaints import cure_of, in_words
from archscope.spec.model import (
    Body,
    Data,
    Expression,
    Join,
    Label,
    LayerCall,
    Residual,
    Step,
    Steps,
    Target,
    Word,
)
from archscope.spec.numbers import Fault
from archscope.spec.things import MISSING, UNKNOWN, Thing, known_by_halves, shown
from archscope.trace import Site, join_path

CHANGE = "other arguments, or another layer or function"
WHEN = "conditions are numbers and words known before the run"


def labels_of(target: Target | None) -> tuple[Label, ...]:
    """The labels of a target that are kept (`_` is not)."""
    if target is None:
        return ()
    if isinstance(target, Label):
        return () if target.name == "_" else (target,)
    return tuple(label for part in target for label in labels_of(part))


@dataclass(frozen=True)
class Walk:
    """Walks the steps of one block's use."""

    use: Use

    # Lists

    def sequence(self, steps: Steps, prev: object, scope: Scope, path: str) -> tuple[object, Scope]:
        """The value of the last step, and the scope with the list's labels."""
        later = {label.name: label.span.line for s in steps for label in labels_of(s.target)}
        local = Scope(scope, later=later)
        lone = self._lone_form(steps)
        for index, step in enumerate(steps):
            kept = labels_of(step.target)
            segment = "" if index == lone else kept[0].name if kept else str(index)
            value = self.step(step, prev, local, join_path(path, segment))
            single = value is UNKNOWN or step.target is None or isinstance(step.target, Label)
            prev = value if single else self._only(kept, local)
        return prev, Scope(local, {"prev": prev}) if steps else local

    def _lone_form(self, steps: Steps) -> int:
        plain = [(i, s) for i, s in enumerate(steps) if s.target is None and not s.expect]
        forms = [(i, names) for i, s in plain if (names := branch_names(s))]
        taken = {label.name for s in steps for label in labels_of(s.target)}
        return forms[0][0] if len(forms) == 1 and not taken & set(forms[0][1]) else -1

    def _only(self, kept: tuple[Label, ...], local: Scope) -> object:
        return local.table.get(kept[0].name, UNKNOWN) if len(kept) == 1 else several(kept)

    # One step

    def step(self, step: Step, prev: object, local: Scope, path: str) -> object:
        """The value of a step; its labels are set in `local`."""
        try:
            return self._step(step, prev, local, path)
        except Fault as fault:
            self.use.report(step.span, fault.message, fault.help)
        except ArchscopeError:
            raise
        except Exception as error:  # noqa: BLE001 - what a step calls raises what it likes
            self.use.report(step.span, f"this step cannot be tried: {in_words(error)}", cure_of(error, CHANGE))
        self._bind_all(step.target, local)
        return UNKNOWN

    def _step(self, step: Step, prev: object, local: Scope, path: str) -> object:
        self.use.here = Here(path, step.span)
        held = True if step.when is None else self.value(step.when, prev, local)
        if held is UNKNOWN:
            self._bind_all(step.target, local)
            return UNKNOWN
        if step.when is not None:
            self.use.workshop.conditions.note(self.use.workshop, step.when, local, otherwise=bool(step.otherwise))
        if isinstance(held, Thing):
            if not held.numeric:
                raise Fault(f"when: {held.what} is neither true nor false", WHEN)
            held = held.truth(self.use)
        if not held and not step.otherwise:
            for label in labels_of(step.target):
                local.skipped[label.name] = (step.when.span, step.when.text)  # type: ignore[union-attr]
            return prev
        start = prev if step.source is None else self.written(step.source, prev, local, join_path(path, "from"))
        if not held:
            value, _ = self.branch(step.otherwise, start, local, path)
        else:
            value = turns(self, step, start, local, path) if step.loop else self.body(step.body, start, local, path)
        self._bind(step.target, value, local)
        if value is not UNKNOWN:
            self.use.plan.expected += expected_of(self.use, step.expect, local, value, start, path)
        return value

    def body(self, body: Body, prev: object, scope: Scope, path: str) -> object:
        """The value of a step's body."""
        if isinstance(body, Expression):
            return self.expression(body, prev, scope, path)
        if isinstance(body, LayerCall):
            return self._long(body, prev, scope, path)
        if isinstance(body, Step):
            return self.step(body, prev, scope, path)
        if isinstance(body, Residual):
            return residual(self, body, prev, scope, path)
        if isinstance(body, Join):
            return join_branches(self, body, prev, scope, path)
        value, inner = self.sequence(body, prev, scope, path)
        labels = inner.parent.table if inner.parent is not None else {}
        return replace(value, inner=dict(labels)) if isinstance(value, Tensor) else value

    def branch(self, steps: Steps, prev: object, scope: Scope, path: str) -> tuple[object, Scope]:
        """A branch: a lone unlabelled step stands at the branch's own path."""
        if len(steps) == 1 and steps[0].target is None:
            return self.step(steps[0], prev, Scope(scope), path), scope
        return self.sequence(steps, prev, scope, path)

    # Labels

    def _bind_all(self, target: Target | None, local: Scope) -> None:
        local.table.update({label.name: UNKNOWN for label in labels_of(target)})

    def _bind(self, target: Target | None, value: object, local: Scope) -> None:
        if target is None or value is UNKNOWN:
            return self._bind_all(target, local)
        if isinstance(target, Label):
            if target.name != "_":
                local.table[target.name] = value
            return None
        value = self._taken_apart(value, len(target))
        if not isinstance(value, (tuple, list)):
            raise Fault(
                f"{len(target)} labels, but the step gives one value: {shown(value)}", "chunk, split or unbind it"
            )
        if len(value) != len(target):
            raise Fault(f"{len(target)} labels, but the step gives {len(value)} values", "`_` drops a value")
        for part, item in zip(target, value, strict=True):
            self._bind(part, item, local)
        return None

    def _taken_apart(self, value: object, count: int) -> object:
        """A list of the run, or a tensor along dim 0, as a tuple, as Python unpacks it."""
        before = last_node(self.use.graph)
        if isinstance(value, Tensor) and value.meta.dim() and value.meta.shape[0] == count:
            site = value.node.meta.get("step")
            value = self.use.function("unbind", torch.unbind, (value,), {})
        elif isinstance(value, RuntimeList):
            site = self.use.lowered(value).meta.get("step")
        if not isinstance(value, RuntimeList):
            return value
        parts = value.settled(self.use)
        for node in nodes_after(self.use.graph, before):
            node.meta["step"] = site
        return parts

    def _warn_of_hiding(self, expression: Expression, scope: Scope) -> None:
        """A step that is only a label, where a function of that name was probably meant."""
        tree = expression.tree
        if not isinstance(tree, ast.Name) or not isinstance(scope.find(tree.id), Tensor):
            return
        if isinstance(self.use.workshop.base.find(tree.id), Function):
            message = f"this is the value of the label {tree.id!r}, which hides the function {tree.id}"
            problem = Problem(expression.span, message, "choose another label", self.use.frames)
            self.use.workshop.warn("hidden-function", problem)

    # Expressions and long forms

    def value(self, expression: Expression, prev: object, scope: Scope) -> object:
        inner = Scope(scope, {"prev": prev})
        self.use.here = Here(self.use.here.path, expression.span, text=expression.text)
        return self.use.workshop.evaluator(inner, self.use.report, self.use).value(expression)

    def expression(self, expression: Expression, prev: object, scope: Scope, path: str) -> object:
        """A step written as one line."""
        return self.written(expression, prev, scope, path, apply=True)

    def written(self, expression: Expression, prev: object, scope: Scope, path: str, *, apply: bool = False) -> object:
        """The value of an expression that may run something at a path. apply: a layer or function to prev."""
        inner = Scope(scope, {"prev": prev})
        self.use.here = here = Here(path, expression.span, count_layers(expression.tree, inner), text=expression.text)
        before, workshop = last_node(self.use.graph), self.use.workshop
        value = workshop.evaluator(inner, self.use.report, self.use).value(expression)
        self.use.here = here
        if apply:
            value = self._applied(value, prev, expression.span)
        if apply and value is not UNKNOWN:
            self._warn_of_hiding(expression, inner)
        self.give_sites(before, path, expression.span, lambda nodes: step_text(expression, inner, workshop, nodes))
        return value

    def _applied(self, value: object, prev: object, span: Span) -> object:
        """The application rule: a layer, a block or a function without a tensor is applied to prev. Raises Fault."""
        try:
            if isinstance(value, Kind):
                value = value.bind(value, (), {})
            if isinstance(value, (Layer, Declaration, Function, Pending)):
                return self._apply(value, self._present(prev))
        except Fault as fault:
            self.use.report(span, fault.message, fault.help)
            return UNKNOWN
        if isinstance(value, Tensor) or value is UNKNOWN or (isinstance(value, RuntimeList) and holds_tensor(value)):
            return value
        if isinstance(value, (tuple, list)) and (known_by_halves(value) or holds_tensor(value)):
            return value
        raise Fault(
            f"this step gives {shown(value)}, not a tensor",
            "a step is a layer, a block, a function or an expression of tensors",
        )

    def _apply(self, value: Layer | Declaration | Function | Pending, prev: object) -> object:
        if known_by_halves(prev):
            if isinstance(value, Layer):
                self.use.workshop.foundry.try_out(value)
            return UNKNOWN
        if isinstance(value, (Layer, Declaration)):
            return self.use.apply(value, (prev,), {})
        pending = value if isinstance(value, Pending) else Pending(value, (), {})
        function = pending.function
        return self.use.function(function.name, function.entry.target, (prev, *pending.args), pending.kwargs)

    def _present(self, prev: object) -> object:
        if isinstance(prev, Lazy):
            prev = prev.get()
        if prev is None:
            raise Fault("there is no value before this step", "name its input: Layer(…)(x)")
        return prev

    def give_sites(self, before: fx.Node | None, path: str, span: Span, text: Callable[[list[fx.Node]], str]) -> None:
        """Names the step that new nodes belong to, unless the step is one layer or block and nothing else."""
        new = [n for n in nodes_after(self.use.graph, before) if "step" not in n.meta and n.op != "placeholder"]
        working = [n for n in new if n not in self.use.parts and n.op != "get_attr" and not is_number(n)]
        member = self.use.plan.members.get(str(new[0].target)) if len(new) == 1 and new[0].op == "get_attr" else None
        if isinstance(member, Raw):
            new[0].meta |= {"alone": True, "step": Site(path, "Parameter", "layer", member.text, span)}
        elif new and not (len(working) == 1 and "site" in working[0].meta):
            site = Site(path, text(working), "step", place=span)
            for node in new:
                node.meta["step"] = site

    def bound(self, kind: Kind, span: Span) -> object:
        """A bare layer with no arguments, or UNKNOWN."""
        try:
            return kind.bind(kind, (), {})
        except Fault as fault:
            self.use.report(span, fault.message, fault.help)
            return UNKNOWN

    def layer_value(self, body: Expression | LayerCall, scope: Scope) -> object:
        """A layer as `modules:` declares it."""
        if isinstance(body, Expression):
            return self.use.workshop.evaluator(scope, self.use.report, self.use).value(body)
        return self._long_layer(body, scope)

    def _long(self, call: LayerCall, prev: object, scope: Scope, path: str) -> object:
        self.use.here = Here(path, call.span, text=call.name)
        layer = self._long_layer(call, Scope(scope, {"prev": prev}))
        self.use.here = Here(path, call.span, text=call.name)
        return UNKNOWN if layer is UNKNOWN else self._applied(layer, prev, call.span)

    def _long_layer(self, call: LayerCall, scope: Scope) -> object:
        kind = scope.find(call.name)
        if isinstance(kind, Declaration):
            raise Fault(f"module {call.name} has its arguments already", "name it alone")
        if not isinstance(kind, Kind):
            known = [n for names in scope.names() for n in names if n[:1].isupper()]
            raise Fault(f"unknown layer {call.name!r}", did_you_mean(call.name, known))
        args = tuple(self._argument(kind, None, value, scope) for value in call.args)
        kwargs = {label.name: self._argument(kind, label, value, scope) for label, value in call.kwargs}
        try:
            return kind.call(args, kwargs, self.use)
        except Fault as fault:
            place = next((label.span for label, _ in call.kwargs if label.name == fault.argument), call.span)
            self.use.report(place, fault.message, fault.help)
            return UNKNOWN

    def _argument(self, kind: Kind, label: Label | None, value: Data, scope: Scope) -> object:
        word = value.text if isinstance(value, Word) else self._unknown_name(value, scope)
        if word is None:
            return self.use.workshop.data(value, scope, words=False, report=self.use.report, host=self.use)
        parameters = signature(kind.source).parameters if isinstance(kind.source, type) else {}
        parameter = parameters.get(label.name) if label else None
        if label is None or (parameter is not None and not takes_words(parameter)):
            takes = "true or false" if parameter is not None and isinstance(parameter.default, bool) else "numbers"
            cure = self.use.workshop.evaluator(scope).nearest(word) or f"write {takes}"
            what = label.name if label else "this argument"
            self.use.report(value.span, f"{kind.name}: {what} takes {takes}, not the word {word!r}", cure)
            return UNKNOWN
        return word

    def _unknown_name(self, value: Data, scope: Scope) -> str | None:
        if not isinstance(value, Expression) or not isinstance(value.tree, ast.Name):
            return None
        return value.text if scope.find(value.text) is MISSING else None


def several(kept: tuple[Label, ...]) -> Lazy:
    """`prev` after a step with several labels: a fault to whoever asks."""

    def refuse() -> object:
        names = ", ".join(label.name for label in kept) or "none"
        raise Fault("prev is not one value here: the step before keeps several", f"name what you mean: {names}")

    return Lazy(refuse, "prev")


def count_layers(tree: ast.AST, scope: Scope) -> int:
    """How many layers, blocks and parameters an expression applies."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        if is_layer(tree.func.id, scope):
            return 1
        return sum(count_layers(part, scope) for part in (*tree.args, *tree.keywords))
    if isinstance(tree, ast.Name):
        return int(is_layer(tree.id, scope))
    return sum(count_layers(part, scope) for part in ast.iter_child_nodes(tree))


def is_layer(name: str, scope: Scope) -> bool:
    try:
        return isinstance(scope.find(name), (Kind, Layer, RawParameter))
    except Fault:
        return False
