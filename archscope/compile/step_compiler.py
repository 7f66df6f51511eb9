"""Compilation of the steps of a block, in order: each gets `prev`, returns a value, and may bind a label.

list of steps → step (when, from, loop) → body (expression, long form, group, form) → value → labels, expectations

A step's path is its labels and positions joined by dots. If a list has a single unlabelled step with named branches
(such as one `residual:`), that step adds no level to the path, so that its branches are `layer1.0.main.3`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import fx

from archscope.compile.block_use import BlockUse
from archscope.compile.branching import JOIN_FUNCTIONS, build_join, build_residual
from archscope.compile.expect_entries import evaluate_expectations
from archscope.compile.graph_builder import StepCursor, last_node, nodes_after
from archscope.compile.graph_tensor import GraphTensor, PartialCall, TensorFunction, has_tensor
from archscope.compile.layer_cache import can_be_word
from archscope.compile.layer_classes import DeclaredLayer, Layer, LayerClass, ParameterFunction
from archscope.compile.loops import build_loop, evaluate_turns
from archscope.compile.plan import ParameterSpec, is_number_node
from archscope.compile.runtime_numbers import RuntimeList
from archscope.compile.scope import Scope
from archscope.compile.step_text import step_text
from archscope.errors import ArchscopeError, Problem, Span, did_you_mean
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.error_text import describe_error, error_help
from archscope.spec.spec_types import (
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
from archscope.spec.spec_values import MISSING, UNKNOWN, LazyValue, SpecValue, Value, describe_value, has_unknown
from archscope.torch_layers.signatures import constructor_signature
from archscope.trace import Location, join_path

CHANGE_HELP = "other arguments, or another layer or function"
WHEN_HELP = "conditions are numbers and words known before the run"


def kept_labels(target: Target | None) -> tuple[Label, ...]:
    """Return the labels of a target without `_`."""
    if target is None:
        return ()
    if isinstance(target, Label):
        return () if target.name == "_" else (target,)
    return tuple(label for part in target for label in kept_labels(part))


def branch_names(step: Step) -> tuple[str, ...]:
    """Return the path segments of a step's named branches; none for other steps, and for unnamed branches."""
    if step.loop is not None or step.target is not None:
        return ()
    body = step.body
    if isinstance(body, Step):
        return branch_names(body)
    if isinstance(body, Residual):
        return ("main", "shortcut", "add")
    if isinstance(body, Join) and all(b.name for b in body.branches):
        return (*(b.name or "" for b in body.branches), JOIN_FUNCTIONS[body.kind][0])
    return ()


@dataclass(frozen=True)
class StepCompiler:
    """Compiles the steps of one use of a block."""

    use: BlockUse

    # Lists

    def compile_steps(self, steps: Steps, prev: Value, scope: Scope, path: str) -> tuple[Value, Scope]:
        """Return the value of the last step, and the scope with the list's labels."""
        later = {label.name: label.span.line for s in steps for label in kept_labels(s.target)}
        local = Scope(scope, later_labels=later)
        lone = self._lone_form_index(steps)
        for index, step in enumerate(steps):
            labels = kept_labels(step.target)
            segment = "" if index == lone else labels[0].name if labels else str(index)
            value = self.compile_step(step, prev, local, join_path(path, segment))
            single = value is UNKNOWN or step.target is None or isinstance(step.target, Label)
            prev = value if single else self._only_value(labels, local)
        return prev, Scope(local, {"prev": prev}) if steps else local

    def _lone_form_index(self, steps: Steps) -> int:
        plain = [(i, s) for i, s in enumerate(steps) if s.target is None and not s.expect]
        forms = [(i, names) for i, s in plain if (names := branch_names(s))]
        taken = {label.name for s in steps for label in kept_labels(s.target)}
        return forms[0][0] if len(forms) == 1 and not taken & set(forms[0][1]) else -1

    def _only_value(self, labels: tuple[Label, ...], local: Scope) -> Value:
        return local.table.get(labels[0].name, UNKNOWN) if len(labels) == 1 else ambiguous_prev(labels)

    # One step

    def compile_step(self, step: Step, prev: Value, local: Scope, path: str) -> Value:
        """Return the value of a step; bind its labels in `local`."""
        try:
            return self._compile_step(step, prev, local, path)
        except EvaluationError as fault:
            self.use.report(step.span, fault.message, fault.help)
        except ArchscopeError:
            raise
        except Exception as error:  # noqa: BLE001 - what a step calls raises what it likes
            self.use.report(
                step.span, f"this step cannot be tried: {describe_error(error)}", error_help(error, CHANGE_HELP)
            )
        self._bind_unknown(step.target, local)
        return UNKNOWN

    def _compile_step(self, step: Step, prev: Value, local: Scope, path: str) -> Value:
        self.use.cursor = StepCursor(path, step.span)
        condition = True if step.when is None else self.evaluate(step.when, prev, local)
        if condition is UNKNOWN:
            self._bind_unknown(step.target, local)
            return UNKNOWN
        if step.when is not None:
            evaluate_turns(self.use.session, step.when, local, otherwise=bool(step.otherwise))
        if isinstance(condition, SpecValue):
            if not condition.numeric:
                raise EvaluationError(f"when: {condition.what} is neither true nor false", WHEN_HELP)
            condition = condition.to_bool(self.use)
        if step.when is not None and not condition and not step.otherwise:
            for label in kept_labels(step.target):
                local.skipped_labels[label.name] = (step.when.span, step.when.text)
            return prev
        start = (
            prev if step.source is None else self.evaluate_at_path(step.source, prev, local, join_path(path, "from"))
        )
        if not condition:
            value, _ = self.compile_branch(step.otherwise, start, local, path)
        else:
            value = (
                build_loop(self, step, start, local, path)
                if step.loop
                else self.compile_body(step.body, start, local, path)
            )
        self._bind_labels(step.target, value, local)
        if value is not UNKNOWN:
            self.use.plan.expected += evaluate_expectations(self.use, step.expect, local, value, start, path)
        return value

    def compile_body(self, body: Body, prev: Value, scope: Scope, path: str) -> Value:
        """Return the value of a step's body."""
        if isinstance(body, Expression):
            return self.compile_expression(body, prev, scope, path)
        if isinstance(body, LayerCall):
            return self._compile_layer_call(body, prev, scope, path)
        if isinstance(body, Step):
            return self.compile_step(body, prev, scope, path)
        if isinstance(body, Residual):
            return build_residual(self, body, prev, scope, path)
        if isinstance(body, Join):
            return build_join(self, body, prev, scope, path)
        value, inner = self.compile_steps(body, prev, scope, path)
        labels = inner.parent.table if inner.parent is not None else {}
        return replace(value, inner_labels=dict(labels)) if isinstance(value, GraphTensor) else value

    def compile_branch(self, steps: Steps, prev: Value, scope: Scope, path: str) -> tuple[Value, Scope]:
        """Return the value of a branch; a single unlabelled step has the branch's own path."""
        if len(steps) == 1 and steps[0].target is None:
            return self.compile_step(steps[0], prev, Scope(scope), path), scope
        return self.compile_steps(steps, prev, scope, path)

    # Labels

    def _bind_unknown(self, target: Target | None, local: Scope) -> None:
        local.table.update({label.name: UNKNOWN for label in kept_labels(target)})

    def _bind_labels(self, target: Target | None, value: Value, local: Scope) -> None:
        if target is None or value is UNKNOWN:
            return self._bind_unknown(target, local)
        if isinstance(target, Label):
            if target.name != "_":
                local.table[target.name] = value
            return None
        value = self._unpack(value, len(target))
        if not isinstance(value, (tuple, list)):
            raise EvaluationError(
                f"{len(target)} labels, but the step gives one value: {describe_value(value)}",
                "chunk, split or unbind it",
            )
        if len(value) != len(target):
            raise EvaluationError(f"{len(target)} labels, but the step gives {len(value)} values", "`_` drops a value")
        for part, item in zip(target, value, strict=True):
            self._bind_labels(part, item, local)
        return None

    def _unpack(self, value: Value, count: int) -> Value:
        """Return a run-time list, or a tensor along dim 0, as a tuple of `count` values."""
        before = last_node(self.use.graph)
        if isinstance(value, GraphTensor) and value.meta.dim() and value.meta.shape[0] == count:
            site = value.node.meta.get("step")
            value = self.use.apply_function("unbind", torch.unbind, (value,), {})
        elif isinstance(value, RuntimeList):
            site = self.use.lower(value).meta.get("step")
        if not isinstance(value, RuntimeList):
            return value
        parts = value.to_plain(self.use)
        for node in nodes_after(self.use.graph, before):
            node.meta["step"] = site
        return parts

    def _warn_hidden_function(self, expression: Expression, scope: Scope) -> None:
        """Warn about a step that is only a label, if the function of that name was probably meant."""
        tree = expression.tree
        if not isinstance(tree, ast.Name) or not isinstance(scope.find(tree.id), GraphTensor):
            return
        if isinstance(self.use.session.base.find(tree.id), TensorFunction):
            message = f"this is the value of the label {tree.id!r}, which hides the function {tree.id}"
            problem = Problem(expression.span, message, "choose another label", self.use.frames)
            self.use.session.warn("hidden-function", problem)

    # Expressions and long forms

    def evaluate(self, expression: Expression, prev: Value, scope: Scope) -> Value:
        inner = Scope(scope, {"prev": prev})
        self.use.cursor = StepCursor(self.use.cursor.path, expression.span, text=expression.text)
        return self.use.session.evaluator(inner, self.use.report, self.use).value(expression)

    def compile_expression(self, expression: Expression, prev: Value, scope: Scope, path: str) -> Value:
        """Return the value of a step written as one expression."""
        return self.evaluate_at_path(expression, prev, scope, path, apply=True)

    def evaluate_at_path(
        self, expression: Expression, prev: Value, scope: Scope, path: str, *, apply: bool = False
    ) -> Value:
        """Return the value of an expression whose layers get a path. apply: apply a layer or function to prev."""
        inner = Scope(scope, {"prev": prev})
        self.use.cursor = here = StepCursor(
            path, expression.span, count_layers(expression.tree, inner), text=expression.text
        )
        before, session = last_node(self.use.graph), self.use.session
        value = session.evaluator(inner, self.use.report, self.use).value(expression)
        self.use.cursor = here
        if apply:
            value = self._apply_to_prev(value, prev, expression.span)
        if apply and value is not UNKNOWN:
            self._warn_hidden_function(expression, inner)
        self.assign_sites(before, path, expression.span, lambda nodes: step_text(expression, inner, session, nodes))
        return value

    def _apply_to_prev(self, value: Value, prev: Value, span: Span) -> Value:
        """Return a layer, block or function without a tensor applied to prev; other values unchanged. Raises
        EvaluationError."""
        try:
            if isinstance(value, LayerClass):
                value = value.bind(value, (), {})
            if isinstance(value, (Layer, DeclaredLayer, TensorFunction, PartialCall)):
                return self._apply_value(value, self._require_prev(prev))
        except EvaluationError as fault:
            self.use.report(span, fault.message, fault.help)
            return UNKNOWN
        if isinstance(value, GraphTensor) or value is UNKNOWN or (isinstance(value, RuntimeList) and has_tensor(value)):
            return value
        if isinstance(value, (tuple, list)) and (has_unknown(value) or has_tensor(value)):
            return value
        raise EvaluationError(
            f"this step gives {describe_value(value)}, not a tensor",
            "a step is a layer, a block, a function or an expression of tensors",
        )

    def _apply_value(self, value: Layer | DeclaredLayer | TensorFunction | PartialCall, prev: Value) -> Value:
        if has_unknown(prev):
            if isinstance(value, Layer):
                self.use.session.layer_cache.check_constructor(value)
            return UNKNOWN
        if isinstance(value, (Layer, DeclaredLayer)):
            return self.use.apply(value, (prev,), {})
        pending = value if isinstance(value, PartialCall) else PartialCall(value, (), {})
        function = pending.function
        return self.use.apply_function(function.name, function.entry.target, (prev, *pending.args), pending.kwargs)

    def _require_prev(self, prev: Value) -> Value:
        if isinstance(prev, LazyValue):
            prev = prev.get()
        if prev is None:
            raise EvaluationError("there is no value before this step", "name its input: Layer(…)(x)")
        return prev

    def assign_sites(self, before: fx.Node | None, path: str, span: Span, text: Callable[[list[fx.Node]], str]) -> None:
        """Set the step that new nodes belong to, unless the step is exactly one layer or block."""
        new = [n for n in nodes_after(self.use.graph, before) if "step" not in n.meta and n.op != "placeholder"]
        working = [n for n in new if n not in self.use.item_nodes and n.op != "get_attr" and not is_number_node(n)]
        member = self.use.plan.members.get(str(new[0].target)) if len(new) == 1 and new[0].op == "get_attr" else None
        if isinstance(member, ParameterSpec):
            new[0].meta |= {"alone": True, "step": Location(path, "Parameter", "layer", member.text, span)}
        elif new and not (len(working) == 1 and "site" in working[0].meta):
            site = Location(path, text(working), "step", place=span)
            for node in new:
                node.meta["step"] = site

    def bind_bare_layer(self, kind: LayerClass, span: Span) -> Value:
        """Return a layer written without arguments, or UNKNOWN."""
        try:
            return kind.bind(kind, (), {})
        except EvaluationError as fault:
            self.use.report(span, fault.message, fault.help)
            return UNKNOWN

    def declared_layer(self, body: Expression | LayerCall, scope: Scope) -> Value:
        """Return a layer declared in `modules:`."""
        if isinstance(body, Expression):
            return self.use.session.evaluator(scope, self.use.report, self.use).value(body)
        return self._bind_layer_call(body, scope)

    def _compile_layer_call(self, call: LayerCall, prev: Value, scope: Scope, path: str) -> Value:
        self.use.cursor = StepCursor(path, call.span, text=call.name)
        layer = self._bind_layer_call(call, Scope(scope, {"prev": prev}))
        self.use.cursor = StepCursor(path, call.span, text=call.name)
        return UNKNOWN if layer is UNKNOWN else self._apply_to_prev(layer, prev, call.span)

    def _bind_layer_call(self, call: LayerCall, scope: Scope) -> Value:
        kind = scope.find(call.name)
        if isinstance(kind, DeclaredLayer):
            raise EvaluationError(f"module {call.name} has its arguments already", "name it alone")
        if not isinstance(kind, LayerClass):
            known = [n for names in scope.names() for n in names if n[:1].isupper()]
            raise EvaluationError(f"unknown layer {call.name!r}", did_you_mean(call.name, known))
        args = tuple(self._layer_argument(kind, None, value, scope) for value in call.args)
        kwargs = {label.name: self._layer_argument(kind, label, value, scope) for label, value in call.kwargs}
        try:
            return kind.call(args, kwargs, self.use)
        except EvaluationError as fault:
            place = next((label.span for label, _ in call.kwargs if label.name == fault.argument), call.span)
            self.use.report(place, fault.message, fault.help)
            return UNKNOWN

    def _layer_argument(self, kind: LayerClass, label: Label | None, value: Data, scope: Scope) -> Value:
        word = value.text if isinstance(value, Word) else self._unknown_name(value, scope)
        if word is None:
            return self.use.session.evaluate_data(value, scope, words=False, report=self.use.report, host=self.use)
        parameters = constructor_signature(kind.source).parameters if isinstance(kind.source, type) else {}
        parameter = parameters.get(label.name) if label else None
        if label is None or (parameter is not None and not can_be_word(parameter)):
            takes = "true or false" if parameter is not None and isinstance(parameter.default, bool) else "numbers"
            suggestion = self.use.session.evaluator(scope).suggest_name(word) or f"write {takes}"
            what = label.name if label else "this argument"
            self.use.report(value.span, f"{kind.name}: {what} takes {takes}, not the word {word!r}", suggestion)
            return UNKNOWN
        return word

    def _unknown_name(self, value: Data, scope: Scope) -> str | None:
        if not isinstance(value, Expression) or not isinstance(value.tree, ast.Name):
            return None
        return value.text if scope.find(value.text) is MISSING else None


def ambiguous_prev(labels: tuple[Label, ...]) -> LazyValue:
    """Return `prev` after a step with several labels, which raises EvaluationError when it is used."""

    def refuse() -> Value:
        names = ", ".join(label.name for label in labels) or "none"
        raise EvaluationError(
            "prev is not one value here: the step before keeps several", f"name what you mean: {names}"
        )

    return LazyValue(refuse, "prev")


def count_layers(tree: ast.AST, scope: Scope) -> int:
    """Return the number of layers, blocks and parameters that an expression applies."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        if is_layer(tree.func.id, scope):
            return 1
        return sum(count_layers(part, scope) for part in (*tree.args, *tree.keywords))
    if isinstance(tree, ast.Name):
        return int(is_layer(tree.id, scope))
    return sum(count_layers(part, scope) for part in ast.iter_child_nodes(tree))


def is_layer(name: str, scope: Scope) -> bool:
    try:
        return isinstance(scope.find(name), (LayerClass, Layer, ParameterFunction))
    except EvaluationError:
        return False
