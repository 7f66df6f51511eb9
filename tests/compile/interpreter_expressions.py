"""Expressions for the plain interpreter: Python's syntax trees, walked on tensors and numbers as they are."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from archscope.spec.spec_types import (
    Constant,
    Data,
    DeclaredModule,
    Definition,
    Expression,
    Items,
    LayerCall,
    Table,
    Word,
)
from tests.compile.interpreter_scopes import Entry, File, Frame, Scope
from tests.compile.interpreter_values import (
    CONSTANTS,
    FILLED,
    BlockUse,
    Function,
    Layer,
    LetFunction,
    Made,
    Missing,
    Shared,
    UnknownNameError,
    UnlikeError,
    called,
    known_function,
    plain,
    tensors_in,
)

BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
}
COMPARED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Places:
    """The paths of the layers and parameters of one step: the step's own where it is the only one, else numbered."""

    def __init__(self, path: str, count: int) -> None:
        self.path, self.count, self.taken = path, count, 0

    def next(self) -> str:
        self.taken += 1
        return self.path if self.count <= 1 else f"{self.path}.{self.taken - 1}"


class Expressions:
    """Evaluates expressions; the layers and parameters that they name are those of a built net."""

    def __init__(self, built: nn.Module) -> None:
        self.built = built
        self.decisions: list[tuple[Any, ...]] = []
        self.places = Places("", 0)

    # ------------------------------------------------------------ the built net
    def member(self, path: str) -> Any:
        """Return the module or parameter at a path; a label that is an attribute of modules has an added `_`."""
        found: Any = self.built
        for part in path.split("."):
            taken = found._modules.keys() | found._parameters.keys()
            name = part if part in taken or f"{part}_" not in taken else f"{part}_"
            if name not in taken:
                raise UnlikeError(f"the net has nothing at {path}")
            found = found._modules.get(name) if name in found._modules else found._parameters.get(name)
        return found

    # ------------------------------------------------------------ names
    def lookup(self, name: str, scope: Scope) -> Any:
        """Return the value of a name, in the order of section 8."""
        try:
            return self.known(scope.lookup_label(name).value)
        except KeyError:
            pass
        frame, file = scope.frame, scope.frame.file
        if name in frame.names:
            return frame.names[name]
        inside = Scope(frame)
        for definition in frame.lets:
            if definition.name == name:
                return self.defined(definition, inside)
        for declared in frame.modules:
            if declared.name == name:
                return self.shared(declared, inside, frame.path)
        return self.of_file(name, file, frame)

    def of_file(self, name: str, file: File, frame: Frame) -> Any:
        """Return a param, constant, shared module or block of the file; else the layer or function of torch."""
        net = file.net or Frame(file, "")
        outside = Scope(net if frame is net else Frame(file, net.path))
        if name in file.params:
            return self.param(file.params[name], outside)
        for definition in file.spec.let:
            if definition.name == name:
                return self.defined(definition, outside)
        for declared in file.spec.modules:
            if declared.name == name:
                return self.shared(declared, Scope(net), net.path)
        for block in file.spec.blocks:
            if block.name == name:
                return BlockUse(block, file)
        brought = file.imported(name)
        if brought is not None:
            other, there = brought
            block = next((b for b in other.spec.blocks if b.name == there), None)
            return BlockUse(block, other)
        return of_torch(name)

    def param(self, value: Any, scope: Scope) -> Any:
        """Return a param's value; an unknown name is a word."""
        if isinstance(value, (Constant, Expression, Word, Items, Table)):
            return self.data(value, scope, words=True)
        return value

    def defined(self, definition: Definition, scope: Scope) -> Any:
        return (
            LetFunction(definition, scope) if definition.arguments is not None else self.data(definition.value, scope)
        )

    def shared(self, declared: DeclaredModule, scope: Scope, path: str) -> Shared:
        body = declared.body
        made = self.long_form(body, scope) if isinstance(body, LayerCall) else self.value(body, scope)
        made = made if isinstance(made, Made) else Made(made)
        return Shared(f"{path}.{declared.name}" if path else declared.name, made)

    def known(self, value: Any) -> Any:
        if isinstance(value, Missing):
            raise UnknownNameError(value.why)
        return value

    def prev(self, scope: Scope) -> Any:
        return self.known(scope.lookup_label("prev").value)

    # ------------------------------------------------------------ data and long forms
    def data(self, data: Data, scope: Scope, *, words: bool = False) -> Any:
        """Return the values of YAML data. words: whether an expression with an unknown name is a word."""
        match data:
            case Constant():
                return data.value
            case Word():
                return data.text
            case Items():
                return [self.data(item, scope, words=words) for item in data.items]
            case Table():
                return {key: self.data(value, scope, words=words) for key, value in data.entries}
        try:
            return self.value(data, scope)
        except UnknownNameError:
            if words:
                return data.text
            raise

    def long_form(self, call: LayerCall, scope: Scope) -> Made:
        what = self.lookup(call.name, scope)
        args = tuple(self.data(a, scope, words=True) for a in call.args)
        kwargs = {label.name: self.data(value, scope, words=True) for label, value in call.kwargs}
        return Made(what, args, kwargs)

    # ------------------------------------------------------------ expressions
    def step_expression(self, expression: Expression, scope: Scope, path: str) -> Any:
        """Return a step's expression; a function call without a tensor argument is applied to `prev`."""
        before, self.places = self.places, Places(path, self.count(expression.tree, scope))
        try:
            tree = expression.tree
            if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
                callee = self.eval(tree.func, scope)
                if isinstance(callee, Function) and callee.name not in FILLED:
                    args, kwargs = self.arguments(tree, scope)
                    if not tensors_in([args, kwargs]):
                        return called(callee.name, (self.prev(scope), *args), kwargs, on_prev=True)
                    return called(callee.name, args, kwargs)
            return self.eval(tree, scope)
        finally:
            self.places = before

    def count(self, tree: ast.expr, scope: Scope) -> int:
        """Return how many layers, blocks and parameters an expression makes."""
        found = 0
        inner: list[ast.AST] = list(ast.iter_child_nodes(tree))
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            try:
                what = self.lookup(tree.func.id, scope)
            except LookupError:
                what = None
            if isinstance(what, (Layer, BlockUse, Made)) or what == Function("Parameter"):
                return 1
        for node in inner:
            found += self.count(node, scope)  # type: ignore[arg-type]
        return found

    def value(self, expression: Expression, scope: Scope) -> Any:
        return self.eval(expression.tree, scope)

    def eval(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.lookup(node.id, scope)
            case ast.List() | ast.Tuple():
                found = self.sequence(node.elts, scope)
                return found if isinstance(node, ast.List) else tuple(found)
            case ast.BinOp():
                return BINARY[type(node.op)](self.eval(node.left, scope), self.eval(node.right, scope))
            case ast.UnaryOp(op=ast.Not()):
                return not self.truth(self.eval(node.operand, scope))
            case ast.UnaryOp():
                value = self.eval(node.operand, scope)
                return -value if isinstance(node.op, ast.USub) else +value
            case ast.BoolOp():
                return self.boolean(node, scope)
            case ast.IfExp():
                return self.ternary(node, scope)
            case ast.Compare():
                return self.compared(node, scope)
            case ast.Call():
                return self.call(node, scope)
            case ast.Attribute():
                return self.attribute(node, scope)
            case ast.Subscript():
                return self.eval(node.value, scope)[self.eval(node.slice, scope)]
            case ast.Slice():
                parts = (node.lower, node.upper, node.step)
                return slice(*(None if part is None else self.eval(part, scope) for part in parts))
        raise AssertionError(f"no such expression: {ast.dump(node)}")

    def sequence(self, nodes: list[ast.expr], scope: Scope) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found.extend(self.eval(node.value, scope))
            else:
                found.append(self.eval(node, scope))
        return found

    def truth(self, value: Any) -> bool:
        if isinstance(value, torch.Tensor):
            raise UnlikeError("a tensor is neither true nor false")
        return bool(value)

    def boolean(self, node: ast.BoolOp, scope: Scope) -> Any:
        value = None
        for part in node.values:
            value = self.eval(part, scope)
            self.decisions.append(("condition", ast.unparse(part), self.truth(value)))
            if self.truth(value) is isinstance(node.op, ast.Or):
                return value
        return value

    def ternary(self, node: ast.IfExp, scope: Scope) -> Any:
        """Return one of two values."""
        true = self.truth(self.eval(node.test, scope))
        self.decisions.append(("condition", ast.unparse(node.test), true))
        return self.eval(node.body if true else node.orelse, scope)

    def compared(self, node: ast.Compare, scope: Scope) -> Any:
        left, value = self.eval(node.left, scope), True
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.eval(right_node, scope)
            value = COMPARED[type(op)](left, right)
            if len(node.ops) == 1:
                return value
            if not self.truth(value):
                return False
            left = right
        return value

    def attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        entry = self.entry(node, scope)
        if entry is not None:
            return self.known(entry.value)
        value = self.eval(node.value, scope)
        if isinstance(value, Shared):
            return self.member(f"{value.path}.{node.attr}")
        assert node.attr == "shape", node.attr
        return value.shape

    def entry(self, node: ast.expr, scope: Scope) -> Entry | None:
        """Return the label of `stem.early`."""
        if isinstance(node, ast.Name):
            try:
                return scope.lookup_label(node.id)
            except KeyError:
                return None
        if isinstance(node, ast.Attribute):
            outer = self.entry(node.value, scope)
            return outer.members.get(node.attr) if outer is not None else None
        return None

    # ------------------------------------------------------------ calls
    def arguments(self, node: ast.Call, scope: Scope) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args = tuple(self.sequence(node.args, scope))
        return args, {word.arg: self.eval(word.value, scope) for word in node.keywords if word.arg}

    def call(self, node: ast.Call, scope: Scope) -> Any:
        if isinstance(node.func, ast.Attribute) and self.entry(node.func, scope) is None:
            value = self.eval(node.func.value, scope)
            args, kwargs = self.arguments(node, scope)
            return getattr(value, node.func.attr)(*args, **{key: plain(a) for key, a in kwargs.items()})
        callee = self.eval(node.func, scope)
        args, kwargs = self.arguments(node, scope)
        match callee:
            case Layer() | BlockUse():
                return Made(callee, args, kwargs)
            case Made():
                return self.applied(callee, args, kwargs, self.places.next())
            case Shared():
                return self.applied(callee, args, kwargs, callee.path)
            case LetFunction():
                return self.call_let_function(callee, args, kwargs)
            case Function("Parameter"):
                return self.parameter(args)
            case Function():
                return called(callee.name, args, kwargs)
        raise UnlikeError(f"{ast.unparse(node.func)} cannot be called")

    def parameter(self, shape: tuple[Any, ...]) -> Any:
        path = self.places.next()
        found = self.member(path)
        self.decisions.append(("parameter", path, shape))
        if not isinstance(found, nn.Parameter) or tuple(found.shape) != shape:
            raise UnlikeError(f"{path} is no parameter of shape {shape}")
        return found

    def call_let_function(self, function: LetFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return the result of a function of `let`, evaluated in the scope of its definition."""
        arguments = function.definition.arguments or ()
        scope = Scope(function.scope.frame, function.scope)
        scope.names |= dict(zip((argument.name for argument in arguments), args, strict=False)) | dict(kwargs)
        for argument in arguments:
            if argument.name not in scope.names:
                assert argument.default is not None, argument.name
                scope.names[argument.name] = self.value(argument.default, scope)
        return self.data(function.definition.value, scope)

    def applied(self, made: Any, inputs: tuple[Any, ...], named: Mapping[str, Any], path: str) -> Any:
        raise NotImplementedError


def of_torch(name: str) -> Any:
    """Return a layer, a function, a constant or a dtype."""
    if name == "Parameter":
        return Function(name)
    if name[:1].isupper() and isinstance(getattr(nn, name, None), type):
        return Layer(name)
    if name in CONSTANTS:
        return CONSTANTS[name]
    if known_function(name):
        return Function(name)
    if isinstance(getattr(torch, name, None), torch.dtype):
        return getattr(torch, name)
    raise UnknownNameError(name)
