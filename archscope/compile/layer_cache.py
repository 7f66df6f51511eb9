"""One use of a torch.nn layer: its inferred arguments, its checks, and its output.

    Layer (bound arguments) + input shapes → Recipe (all arguments of the constructor) → output shapes

Layers are built on meta once per distinct Recipe and run once per distinct input shape, or not at all if `shapes` has a
rule. `FastInitMode` gives them constant weights in place of PyTorch's random ones, which take longer than a forward
pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from archscope.compile import shapes
from archscope.compile.argument_checks import (
    check_count,
    check_layer_dim,
    check_layer_inputs,
    check_window_fits,
    divisor_conflicts,
    flatten_help,
    nearest_valid_shape,
    padding_conflicts,
    rank_help,
)
from archscope.compile.call_limits import check_layer_limits
from archscope.compile.graph_tensor import TensorFunction, flatten_tensors
from archscope.compile.layer_classes import Layer, LayerClass
from archscope.ops.sequence_order import find_order_problem
from archscope.ops.shape_errors import size_message
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.error_text import describe_error, error_help
from archscope.spec.spec_values import describe_value
from archscope.torch_layers.layer_text import format_layer_arguments
from archscope.torch_layers.signatures import (
    ALLOWED_RANKS,
    INFERRED_ARGUMENTS,
    BindError,
    bind_constructor,
    constructor_signature,
    torch_layers,
)
from archscope.trace import LayerConflict, WrongArgument

CONSTRUCTOR_HELP = "these arguments do not go together; PyTorch says why"
FORWARD_HELP = "this input does not suit these arguments; PyTorch says why"


@dataclass(frozen=True)
class Recipe:
    """A layer that is ready to be made: its class and all arguments that were given or inferred."""

    cls: type[nn.Module]
    arguments: tuple[tuple[str, Any], ...]

    def make(self) -> nn.Module:
        """Return the module, initialised by its constructor."""
        return self.cls(**{name: v.make() if isinstance(v, Recipe) else v for name, v in self.arguments})

    @property
    def name(self) -> str:
        return self.cls.__name__


MOST_SHAPES = 6
"""The maximum number of input shapes in a message."""


def bind_layer(kind: LayerClass, args: tuple, kwargs: dict) -> Layer:
    """Return a torch.nn class with arguments bound as PyTorch binds them (language, section 3). Raises
    EvaluationError."""
    try:
        bound = bind_constructor(kind.source, args, kwargs)
    except BindError as error:
        raise EvaluationError(error.message, error.help, error.name) from None
    arguments = {name: _check_word(kind, name, value) for name, value in bound.arguments.items()}
    for name, value in arguments.items():
        check_count(kind.name, name, value)
    check_layer_limits(kind.name, arguments)
    return Layer(kind, tuple(arguments.items()), bound.inferred)


def _check_word(kind: LayerClass, name: str, value: Any) -> Any:
    """Return an argument; the name of a function (`bilinear`, `tanh`) becomes a word if the parameter takes words.

    Raises EvaluationError for other words.
    """
    parameter = constructor_signature(kind.source).parameters.get(name)
    if parameter is None or not isinstance(value, (str, TensorFunction)):
        return value
    if can_be_word(parameter):
        return value.name if isinstance(value, TensorFunction) and not callable(parameter.default) else value
    if isinstance(value, TensorFunction):
        return value
    boolean = isinstance(parameter.default, bool)
    suggestion = f"{name}=True or {name}=False" if boolean else f"give {name} a number"
    wanted = "true or false" if boolean else "no words"
    raise EvaluationError(f"{kind.name}: {name} takes {wanted}, not {describe_value(value)}", suggestion, name)


def can_be_word(parameter: inspect.Parameter) -> bool:
    """Return whether an argument may be a word, by its default or annotation."""
    return isinstance(parameter.default, str) or "str" in str(parameter.annotation)


def call_key(inputs: tuple[torch.Tensor, ...], kwargs: Mapping[str, object]) -> tuple:
    """Return what a layer's output shapes depend on besides its recipe."""
    return tuple(_value_key(v) for v in inputs), tuple((k, _value_key(v)) for k, v in kwargs.items())


def _value_key(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype, value.stride()
    return tuple(_value_key(v) for v in value) if isinstance(value, (list, tuple)) else value


@dataclass
class LayerCache:
    """The meta modules and output shapes of layers in one compilation; `train` is their mode."""

    train: bool = False
    meta_modules: dict[Recipe, nn.Module] = field(default_factory=dict)
    outputs: dict[tuple, object] = field(default_factory=dict)
    texts: dict[Recipe, str] = field(default_factory=dict)

    def complete_recipe(
        self, layer: Layer, inputs: tuple[torch.Tensor, ...], complain: Callable[[LayerConflict], None]
    ) -> Recipe:
        """Return the recipe of a layer used on `inputs`.

        Raises EvaluationError for a wrong rank; sizes that disagree are passed to `complain` and replaced.
        """
        name = layer.kind.name
        given: dict[str, Any] = dict(layer.arguments)
        if inputs and torch_layers().get(name) is layer.kind.source:
            check_rank(name, given, inputs[0])
            for argument, axis, index in INFERRED_ARGUMENTS.get(name, ()):
                if index < len(inputs) and (argument in layer.inferred or argument in given):
                    check_has_axis(name, inputs[index], axis)
                    given[argument] = self._infer_argument(
                        name, argument, given.get(argument), inputs[index], axis, complain
                    )
            for conflict in divisor_conflicts(name, given):
                complain(replace(conflict, axes=tuple(axis % inputs[0].dim() for axis in conflict.axes)))
                given |= {conflict.wrong_argument.argument: 1} if conflict.wrong_argument else {}
            for conflict in padding_conflicts(name, given):
                complain(conflict)
                given |= {"padding": conflict.wrong_argument.needed} if conflict.wrong_argument else {}
            check_layer_inputs(name, given, inputs)
        arguments = ((k, self._complete_nested(v, inputs, complain)) for k, v in given.items())
        return Recipe(layer.kind.source, tuple(arguments))

    def _infer_argument(
        self,
        name: str,
        argument: str,
        given: Any,
        tensor: torch.Tensor,
        axis: int,
        complain: Callable[[LayerConflict], None],
    ) -> int | tuple[int, ...]:
        seen = tensor.shape[axis]
        if given is None:
            return seen
        wanted = given if isinstance(given, tuple) else (given,)
        found = tuple(tensor.shape[-len(wanted) :]) if axis == -1 else (seen,)
        if wanted == found:
            return given
        has = found[0] if len(found) == 1 else found
        said = given if len(found) > 1 else wanted[0]
        help = flatten_help(wanted, tuple(tensor.shape)) or f"leave {argument} out (it is inferred) or write {has}"
        fact = size_message(name, argument, said, tuple(tensor.shape), has)
        complain(LayerConflict(fact, help, WrongArgument(argument, said, has), (axis % tensor.dim(),)))
        return has if not isinstance(given, tuple) else found

    def _complete_nested(self, value: object, inputs: tuple, complain: Callable[[LayerConflict], None]) -> object:
        if isinstance(value, LayerClass):
            value = value.bind(value, (), {})
        if isinstance(value, Layer):
            return self.complete_recipe(value, inputs, complain)
        return value.entry.target if isinstance(value, TensorFunction) else value

    def find_input_conflict(self, layer: Layer, tensor: torch.Tensor) -> tuple[LayerConflict, tuple[int, ...]] | None:
        """Return why a layer cannot take its input, with a shape that it could take; None if it can."""
        name, given, shape = layer.kind.name, dict(layer.arguments), tuple(tensor.shape)
        if torch_layers().get(name) is not layer.kind.source:
            return None
        try:
            check_rank(name, given, tensor)
            check_window_fits(name, given, tensor)
        except EvaluationError as fault:
            meant = nearest_valid_shape(name, given, shape, ALLOWED_RANKS.get(name))
            axes = tuple(a for a, (n, m) in enumerate(zip(shape, meant, strict=False)) if n != m)
            unranked = len(shape) != len(meant)
            return (LayerConflict(fault.message, fault.help, axes=() if unranked else axes), meant) if meant else None
        return None

    def arguments_text(self, recipe: Recipe) -> str:
        """Return the layer's arguments in short."""
        if recipe not in self.texts:
            self.texts[recipe] = format_layer_arguments(recipe.name, dict(recipe.arguments))
        return self.texts[recipe]

    def meta_module(self, recipe: Recipe) -> nn.Module:
        """Return the layer on meta, without memory. Raises EvaluationError with the constructor's message."""
        if recipe not in self.meta_modules:
            try:
                with FastInitMode(), torch.device("meta"):
                    self.meta_modules[recipe] = recipe.make().train(self.train)
            except Exception as error:  # noqa: BLE001 - torch's constructors raise what they like
                raise EvaluationError(
                    f"{recipe.name}: {describe_error(error)}", error_help(error, CONSTRUCTOR_HELP)
                ) from None
        return self.meta_modules[recipe]

    def check_constructor(self, layer: Layer) -> None:
        """Make a layer whose input is not known, if no argument is inferred from it.

        Raises EvaluationError for wrong arguments.
        """
        if isinstance(layer.kind.source, type) and not layer.inferred:
            self.meta_module(self.complete_recipe(layer, (), raise_conflict))

    def output(self, recipe: Recipe, inputs: tuple, kwargs: dict) -> object:
        """Return the layer's output for `inputs` (meta tensors). Raises EvaluationError."""
        key = (recipe, call_key(inputs, kwargs))
        if key not in self.outputs:
            self.outputs[key] = self._compute_output(recipe, inputs, kwargs)
        return self.outputs[key]

    def _compute_output(self, recipe: Recipe, inputs: tuple, kwargs: dict) -> object:
        skeleton = self.meta_module(recipe)
        result = None
        if torch_layers().get(recipe.name) is recipe.cls and not self.train:
            parameters = constructor_signature(recipe.cls).parameters.values()  # type: ignore[arg-type]  # a class is hashable
            arguments = {p.name: p.default for p in parameters} | dict(recipe.arguments)
            result = shapes.layer_output(recipe.cls, arguments, inputs, kwargs)
        if result is None:
            check_layer_dim(recipe.cls, dict(recipe.arguments), inputs)
            check_inputs(recipe, inputs, kwargs)
            check_attention_order(recipe, inputs, kwargs)
            result = run_on_meta(recipe.name, lambda: skeleton(*inputs, **kwargs), inputs)
        return result


def check_inputs(recipe: Recipe, inputs: tuple, kwargs: Mapping[str, object]) -> None:
    """Raise EvaluationError if a layer gets more or fewer inputs than its forward takes."""
    forward = inspect.signature(recipe.cls.forward)
    try:
        forward.bind(None, *inputs, **kwargs)
    except TypeError as error:
        takes = ", ".join(name for name in list(forward.parameters)[1:])
        raise EvaluationError(
            f"{recipe.name} takes ({takes}) as inputs: {error}", f"{recipe.name}(…)({takes})"
        ) from None


def check_attention_order(recipe: Recipe, inputs: tuple, kwargs: Mapping[str, object]) -> None:
    """Raise EvaluationError if attention would take batches for lengths, or lengths for batches."""
    if recipe.cls is not nn.MultiheadAttention:
        return
    bound = inspect.signature(recipe.cls.forward).bind(None, *inputs, **kwargs).arguments
    masks = [bound.get(name) for name in ("key_padding_mask", "attn_mask")]
    shapes = [tuple(mask.shape) for mask in masks if isinstance(mask, torch.Tensor) and mask.dim() == 2]
    query, key = (tuple(tensor.shape) for tensor in (bound["query"], bound["key"]))
    found = find_order_problem(query, key, shapes, batch_first=bool(dict(recipe.arguments).get("batch_first")))
    if found is not None:
        raise EvaluationError(found.fact, found.help)


def raise_conflict(conflict: LayerConflict) -> None:
    raise EvaluationError(conflict.fact, conflict.help)


def check_rank(name: str, given: Mapping[str, object], tensor: torch.Tensor) -> None:
    """Raise EvaluationError for an input rank that a layer would misread (an unbatched image, a flat vector)."""
    allowed = ALLOWED_RANKS.get(name)
    if allowed is None or tensor.dim() in {len(axes) for axes in allowed}:
        return
    axes = " or ".join("(" + ", ".join(_axis_names(a, given)) + ")" for a in allowed)
    shape = tuple(tensor.shape)
    raise EvaluationError(f"{name} wants {axes} but its input is {shape}", rank_help(len(allowed[-1]), shape))


def check_has_axis(name: str, tensor: torch.Tensor, axis: int) -> None:
    """Raise EvaluationError if a layer's input lacks the axis that its arguments are inferred from."""
    needed = axis + 1 if axis >= 0 else -axis
    if tensor.dim() < needed:
        fact = f"{name} wants {needed} dimension{'s' * (needed > 1)} or more but its input is {tuple(tensor.shape)}"
        raise EvaluationError(fact, "bring the input to that rank: unsqueeze, reshape, or a reduction less before it")


def _axis_names(axes: tuple[str, ...], given: Mapping[str, object]) -> tuple[str, ...]:
    return ("N", "T", "F") if axes == ("T", "N", "F") and given.get("batch_first") else axes


def run_on_meta(name: str, run: Callable[[], object], inputs: tuple) -> object:
    """Return `run()` on meta tensors; torch's exception becomes an EvaluationError with the input shapes."""
    try:
        with torch.no_grad():
            return run()
    except EvaluationError:
        raise
    except Exception as error:  # noqa: BLE001 - torch raises what it likes
        seen = [str(tuple(tensor.shape)) for tensor in flatten_tensors(inputs)]
        more = f" and {len(seen) - MOST_SHAPES:,} more" if len(seen) > MOST_SHAPES else ""
        several = f"its inputs are {', '.join(seen[:MOST_SHAPES])}{more}"
        inputs_text = f"its input is {seen[0]}" if len(seen) == 1 else several
        fact = f"{name}: {describe_error(error)}" + (f" ({inputs_text})" if seen else "")
        raise EvaluationError(fact, error_help(error, FORWARD_HELP)) from None


RANDOM_FILLS = frozenset(
    [
        "uniform_",
        "normal_",
        "trunc_normal_",
        "random_",
        "exponential_",
        "bernoulli_",
        "cauchy_",
        "geometric_",
        "log_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "orthogonal_",
        "sparse_",
    ]
)
CONSTANT_FILLS = frozenset(["fill_", "zero_", "copy_"])


class FastInitMode(TorchFunctionMode):
    """A torch function mode that replaces random fills: 1 / fan-in for weights (each output is a mean of inputs), 0 for
    vectors.

    On the meta device, which has no values, fills do nothing. The random state is unchanged.
    """

    def __torch_function__(self, function: Callable, types: object, args: tuple = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in RANDOM_FILLS or name in CONSTANT_FILLS:
            tensor = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
            if isinstance(tensor, torch.Tensor) and name in RANDOM_FILLS:
                fan_in = tensor[0].numel() if tensor.dim() > 1 and len(tensor) else 0
                with torch.no_grad():
                    return tensor.fill_(1 / fan_in if fan_in else 0.0)
        return function(*args, **(kwargs or {}))
