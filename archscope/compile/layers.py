"""One use of a torch.nn layer: what it infers, what it checks, what it gives.

    Layer (bound arguments) + input shapes → Recipe (everything a constructor needs) → output shapes

Layers are built on meta once per distinct Recipe and run once per distinct input shape, or not at all where `shapes`
has a rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from archscope.compile import shapes
from archscope.compile.argument_text import in_short
from archscope.compile.bounds import check_layer
from archscope.compile.initialise import without_initialisation
from archscope.compile.kinds import Kind, Layer
from archscope.compile.metas import flat
from archscope.compile.sense import (
    check_axis,
    check_count,
    check_sizes,
    check_use,
    missing_flatten,
    overpadded,
    rank_cure,
    suitable,
    undivided,
)
from archscope.compile.signatures import INFERRED, RANKS, BindError, bind, layer_classes, signature
from archscope.compile.values import Function
from archscope.fit import told
from archscope.sequence_order import misread
from archscope.spec.complaints import cure_of, in_words
from archscope.spec.numbers import Fault
from archscope.spec.things import shown
from archscope.trace import Conflict, Says

CONSTRUCTOR = "these arguments do not go together; PyTorch says why"
RUN = "this input does not suit these arguments; PyTorch says why"


@dataclass(frozen=True)
class Recipe:
    """A layer ready to be made: its class and every argument that was given or inferred."""

    cls: type[nn.Module]
    arguments: tuple[tuple[str, object], ...]

    def make(self) -> nn.Module:
        """The module, initialised as its constructor does it."""
        return self.cls(**{name: _made(value) for name, value in self.arguments})

    @property
    def name(self) -> str:
        return self.cls.__name__


MOST_SHAPES = 6
"""Of how many inputs a complaint tells the shapes."""


def _made(value: object) -> object:
    return value.make() if isinstance(value, Recipe) else value


def bind_layer(kind: Kind, args: tuple, kwargs: dict) -> Layer:
    """A torch.nn class with arguments bound as PyTorch binds them (language, section 3). Raises Fault."""
    try:
        bound = bind(kind.source, args, kwargs)
    except BindError as error:
        raise Fault(error.message, error.help, error.name) from None
    arguments = {name: _worded(kind, name, value) for name, value in bound.arguments.items()}
    for name, value in arguments.items():
        check_count(kind.name, name, value)
    check_layer(kind.name, arguments)
    return Layer(kind, tuple(arguments.items()), bound.struck)


def _worded(kind: Kind, name: str, value: object) -> object:
    """An argument;
    a function's name (`bilinear`, `tanh`) is a word where words belong. Raises Fault for other words.
    """
    parameter = signature(kind.source).parameters.get(name)
    if parameter is None or not isinstance(value, (str, Function)):
        return value
    if takes_words(parameter):
        wordlike = isinstance(value, Function) and not callable(parameter.default)
        return value.name if wordlike else value  # type: ignore[union-attr]
    if isinstance(value, Function):
        return value
    boolean = isinstance(parameter.default, bool)
    cure = f"{name}=True or {name}=False" if boolean else f"give {name} a number"
    wanted = "true or false" if boolean else "no words"
    raise Fault(f"{kind.name}: {name} takes {wanted}, not {shown(value)}", cure, name)


def takes_words(parameter: inspect.Parameter) -> bool:
    """Whether an argument may be a word: its default or its annotation says so."""
    return isinstance(parameter.default, str) or "str" in str(parameter.annotation)


def kwargs_key(inputs: tuple[torch.Tensor, ...], kwargs: Mapping[str, object]) -> tuple:
    """What a layer's output shapes depend on beside its recipe."""
    return tuple(_key(v) for v in inputs), tuple((k, _key(v)) for k, v in kwargs.items())


def _key(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype, value.stride()
    return tuple(_key(v) for v in value) if isinstance(value, (list, tuple)) else value


@dataclass
class Foundry:
    """Makes layers on meta and remembers them for one compilation; `train` decides how they run."""

    train: bool = False
    skeletons: dict[Recipe, nn.Module] = field(default_factory=dict)
    outputs: dict[tuple, object] = field(default_factory=dict)
    texts: dict[Recipe, str] = field(default_factory=dict)

    def complete(self, layer: Layer, inputs: tuple[torch.Tensor, ...], complain: Callable[[Conflict], None]) -> Recipe:
        """The recipe of a layer used on `inputs`.

        Wrong ranks are raised; sizes that disagree are complained of and mended.
        """
        name, given = layer.kind.name, dict(layer.arguments)
        if inputs and layer_classes().get(name) is layer.kind.source:
            check_rank(name, given, inputs[0])
            for argument, axis, index in INFERRED.get(name, ()):
                if index < len(inputs) and (argument in layer.struck or argument in given):
                    check_axes(name, inputs[index], axis)
                    given[argument] = self._inferred(name, argument, given.get(argument), inputs[index], axis, complain)
            for conflict in undivided(name, given):
                complain(replace(conflict, axes=tuple(axis % inputs[0].dim() for axis in conflict.axes)))
                given |= {conflict.says.argument: 1} if conflict.says else {}
            for conflict in overpadded(name, given):
                complain(conflict)
                given |= {"padding": conflict.says.has} if conflict.says else {}
            check_use(name, given, inputs)
        arguments = ((k, self._nested(v, inputs, complain)) for k, v in given.items())
        return Recipe(layer.kind.source, tuple(arguments))

    def _inferred(self, name, argument, given, tensor, axis, complain) -> object:  # type: ignore[no-untyped-def]
        seen = tensor.shape[axis]
        if given is None:
            return seen
        wanted = given if isinstance(given, tuple) else (given,)
        found = tuple(tensor.shape[-len(wanted) :]) if axis == -1 else (seen,)
        if wanted == found:
            return given
        has = found[0] if len(found) == 1 else found
        said = given if len(found) > 1 else wanted[0]
        cure = missing_flatten(wanted, tuple(tensor.shape)) or f"leave {argument} out (it is inferred) or write {has}"
        fact = told(name, argument, said, tuple(tensor.shape), has)
        complain(Conflict(fact, cure, Says(argument, said, has), (axis % tensor.dim(),)))
        return has if not isinstance(given, tuple) else found

    def _nested(self, value: object, inputs: tuple, complain: Callable[[Conflict], None]) -> object:
        if isinstance(value, Kind):
            value = value.bind(value, (), {})
        if isinstance(value, Layer):
            return self.complete(value, inputs, complain)
        return value.entry.target if isinstance(value, Function) else value

    def suited(self, layer: Layer, tensor: torch.Tensor) -> tuple[Conflict, tuple[int, ...]] | None:
        """What keeps a layer from taking its input at all, and a shape that it could take; None where nothing does."""
        name, given, shape = layer.kind.name, dict(layer.arguments), tuple(tensor.shape)
        if layer_classes().get(name) is not layer.kind.source:
            return None
        try:
            check_rank(name, given, tensor)
            check_sizes(name, given, tensor)
        except Fault as fault:
            meant = suitable(name, given, shape, RANKS.get(name))
            axes = tuple(a for a, (n, m) in enumerate(zip(shape, meant, strict=False)) if n != m)
            unranked = len(shape) != len(meant)
            return (Conflict(fault.message, fault.help, axes=() if unranked else axes), meant) if meant else None
        return None

    def text(self, recipe: Recipe) -> str:
        """The layer's arguments in short."""
        if recipe not in self.texts:
            self.texts[recipe] = in_short(recipe.name, dict(recipe.arguments))
        return self.texts[recipe]

    def skeleton(self, recipe: Recipe) -> nn.Module:
        """The layer on meta, without memory. Raises Fault with the constructor's own complaint."""
        if recipe not in self.skeletons:
            try:
                with without_initialisation(), torch.device("meta"):
                    self.skeletons[recipe] = recipe.make().train(self.train)
            except Exception as error:  # noqa: BLE001 - torch's constructors raise what they like
                raise Fault(f"{recipe.name}: {in_words(error)}", cure_of(error, CONSTRUCTOR)) from None
        return self.skeletons[recipe]

    def try_out(self, layer: Layer) -> None:
        """Makes a layer whose input is not known, if it needs nothing of it.

        Raises Fault for arguments that are wrong.
        """
        if isinstance(layer.kind.source, type) and not layer.struck:
            self.skeleton(self.complete(layer, (), raised))

    def output(self, recipe: Recipe, inputs: tuple, kwargs: dict) -> object:
        """What the layer gives for `inputs` (meta tensors in, meta tensors out). Raises Fault."""
        key = (recipe, kwargs_key(inputs, kwargs))
        if key not in self.outputs:
            self.outputs[key] = self._output(recipe, inputs, kwargs)
        return self.outputs[key]

    def _output(self, recipe: Recipe, inputs: tuple, kwargs: dict) -> object:
        skeleton = self.skeleton(recipe)
        result = None
        if layer_classes().get(recipe.name) is recipe.cls and not self.train:
            result = shapes.layer_output(recipe.cls, _with_defaults(recipe), inputs, kwargs)
        if result is None:
            check_axis(recipe.cls, dict(recipe.arguments), inputs)
            check_inputs(recipe, inputs, kwargs)
            check_order(recipe, inputs, kwargs)
            result = guarded(recipe.name, lambda: skeleton(*inputs, **kwargs), inputs)
        return result


def _with_defaults(recipe: Recipe) -> dict[str, object]:
    cls: type = recipe.cls
    defaults = {p.name: p.default for p in signature(cls).parameters.values()}
    return defaults | dict(recipe.arguments)


def check_inputs(recipe: Recipe, inputs: tuple, kwargs: Mapping[str, object]) -> None:
    """Raises Fault where a layer is given more or fewer inputs than its forward takes."""
    forward = inspect.signature(recipe.cls.forward)
    try:
        forward.bind(None, *inputs, **kwargs)
    except TypeError as error:
        takes = ", ".join(name for name in list(forward.parameters)[1:])
        raise Fault(f"{recipe.name} takes ({takes}) as inputs: {error}", f"{recipe.name}(…)({takes})") from None


def check_order(recipe: Recipe, inputs: tuple, kwargs: Mapping[str, object]) -> None:
    """Raises Fault where attention would take batches for lengths, or lengths for batches."""
    if recipe.cls is not nn.MultiheadAttention:
        return
    bound = inspect.signature(recipe.cls.forward).bind(None, *inputs, **kwargs).arguments
    masks = [bound.get(name) for name in ("key_padding_mask", "attn_mask")]
    shapes = [tuple(mask.shape) for mask in masks if isinstance(mask, torch.Tensor) and mask.dim() == 2]
    query, key = (tuple(tensor.shape) for tensor in (bound["query"], bound["key"]))
    found = misread(query, key, shapes, batch_first=bool(dict(recipe.arguments).get("batch_first")))
    if found is not None:
        raise Fault(found.fact, found.cure)


def raised(conflict: Conflict) -> None:
    raise Fault(conflict.fact, conflict.help)


def check_rank(name: str, given: Mapping[str, object], tensor: torch.Tensor) -> None:
    """Raises Fault where a layer's input has a rank that it would misread (an unbatched image, a flat vector)."""
    allowed = RANKS.get(name)
    if allowed is None or tensor.dim() in {len(axes) for axes in allowed}:
        return
    axes = " or ".join("(" + ", ".join(_axes(a, given)) + ")" for a in allowed)
    shape = tuple(tensor.shape)
    raise Fault(f"{name} wants {axes} but its input is {shape}", rank_cure(len(allowed[-1]), shape))


def check_axes(name: str, tensor: torch.Tensor, axis: int) -> None:
    """Raises Fault where a layer's input has not the axis that its arguments follow from."""
    needed = axis + 1 if axis >= 0 else -axis
    if tensor.dim() < needed:
        fact = f"{name} wants {needed} dimension{'s' * (needed > 1)} or more but its input is {tuple(tensor.shape)}"
        raise Fault(fact, "bring the input to that rank: unsqueeze, reshape, or a reduction less before it")


def _axes(axes: tuple[str, ...], given: Mapping[str, object]) -> tuple[str, ...]:
    return ("N", "T", "F") if axes == ("T", "N", "F") and given.get("batch_first") else axes


def guarded(name: str, run: Callable[[], object], inputs: tuple) -> object:
    """`run()` on meta tensors, with torch's complaint as a Fault that names the shapes."""
    try:
        with torch.no_grad():
            return run()
    except Fault:
        raise
    except Exception as error:  # noqa: BLE001 - torch raises what it likes
        seen = [shown_shape(v) for v in flat(inputs)]
        more = f" and {len(seen) - MOST_SHAPES:,} more" if len(seen) > MOST_SHAPES else ""
        several = f"its inputs are {', '.join(seen[:MOST_SHAPES])}{more}"
        inputs_text = f"its input is {seen[0]}" if len(seen) == 1 else several
        fact = f"{name}: {in_words(error)}" + (f" ({inputs_text})" if seen else "")
        raise Fault(fact, cure_of(error, RUN)) from None


def shown_shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))
