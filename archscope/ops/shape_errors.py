"""Shape checks: the arguments of a function call, with shapes in place of tensors → None, or a ShapeProblem.

    find_shape_problem("cat", ((Dims, Dims), 1), {}) → SHAPE_CHECKS["cat"] → ShapeProblem

The recorder and the compiler use the same table, so that both go on with the same shape, and the messages are the same
on every device: torch's own message is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from archscope.ops.windows import Window, is_kernel_too_large, largest_pool_padding, per_axis
from archscope.trace import Shape, WrongArgument


class Dims(tuple[int, ...]):
    """The shape of a tensor among the arguments of a call."""

    __slots__ = ()


@dataclass(frozen=True)
class ShapeCall:
    """A function call with shapes in place of tensors. name: of the function, or of the layer that calls it."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def shapes(self) -> list[Shape]:
        """Return all shapes among the arguments, those in lists included."""
        values = (*self.args, *self.kwargs.values())
        lists = ((value,) if isinstance(value, Dims) else value for value in values if isinstance(value, (list, tuple)))
        return [tuple(item) for items in lists for item in items if isinstance(item, Dims)]

    def get(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)


@dataclass(frozen=True)
class ShapeProblem:
    """Operands whose shapes do not fit together.

    kind: `add`, `multiply`, `concat`, `product`, `attention`, `layer`, `view`. axes: the axes that disagree, of the
    operand of highest rank. intended_shape: the shape that the author probably intended. fact: the disagreement in a
    few words.
    """

    kind: str
    axes: tuple[int, ...]
    intended_shape: Shape
    fact: str
    wrong_argument: WrongArgument | None = None


ShapeCheck = Callable[[ShapeCall], ShapeProblem | None]


def find_shape_problem(
    op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, layer: str = ""
) -> ShapeProblem | None:
    """Return the problem of a function call (by its short name; `add_` is checked as `add`); None if there is none, or
    no check for the function.

    layer: the class of the layer that calls it, for the message.
    """
    name = op.removesuffix("_")
    rule = SHAPE_CHECKS.get(name)
    try:
        return rule(ShapeCall(layer or name, args, kwargs)) if rule else None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):  # arguments that no signature allows
        return None


def differing_axes(first: Shape, second: Shape, *, strict: bool) -> tuple[int, ...]:
    """Return the axes where the shapes cannot broadcast, aligned to the right and counted in the longer shape.

    strict: the axes where they are not equal, or that one of them lacks.
    """
    rank = max(len(first), len(second))
    left, right = (((None,) * (rank - len(shape)) + tuple(shape)) for shape in (first, second))
    soft = () if strict else (1, None)
    pairs = enumerate(zip(left, right, strict=True))
    return tuple(axis for axis, (a, b) in pairs if a != b and a not in soft and b not in soft)


# ------------------------------------------------------------ two values, element by element
FUNCTION_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "div": "/", "pow": "**", "remainder": "%"}


def compare_shapes(shapes: Sequence[Shape], kind: str, *, strict: bool, sign: str = "and") -> ShapeProblem | None:
    """Return a problem if the shapes are not equal (`strict`) or cannot broadcast; else None."""
    first = tuple(shapes[0])
    axes = sorted({axis for other in shapes[1:] for axis in differing_axes(first, other, strict=strict)})
    return (
        ShapeProblem(kind, tuple(axes), intended_sum_shape(shapes) if strict else first, mismatch_text(shapes, sign))
        if axes
        else None
    )


def intended_sum_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the intended shape of a sum of unequal operands: that of the first (a residual's main path).

    If the last operand has the same sizes in another order, its shape: a shortcut still has the axis order of the
    input.
    """
    first, last = tuple(shapes[0]), tuple(shapes[-1])
    return last if is_reordered([first, last]) else first


def drop_ones(shape: Shape) -> Shape:
    """Return the shape without its axes of size 1."""
    return tuple(size for size in shape if size != 1)


def is_reordered(shapes: Sequence[Shape]) -> bool:
    """Return whether the shapes have the same sizes in another order."""
    return len(set(shapes)) > 1 and len({tuple(sorted(shape)) for shape in shapes}) == 1


def mismatch_text(shapes: Sequence[Shape], sign: str = "and") -> str:
    return f"shapes do not match: {f' {sign} '.join(str(tuple(shape)) for shape in shapes)}"


def check_pairwise_loss(call: ShapeCall) -> ShapeProblem | None:
    """Check a loss of two tensors, which gives a scalar or (`reduction="none"`) their broadcast shape."""
    found = compare_shapes(call.shapes()[:2], "add", strict=False)
    meant = call.shapes()[0] if call.kwargs.get("reduction") == "none" else ()
    return found and ShapeProblem("add", found.axes, meant, found.fact)


def check_cosine_similarity(call: ShapeCall) -> ShapeProblem | None:
    """Check `cosine_similarity(a, b, dim)`: one number for each pair of vectors along `dim`."""
    shapes = call.shapes()
    found = compare_shapes(shapes[:2], "multiply", strict=False)
    widest = shapes[0] if len(shapes[0]) >= len(shapes[1]) else shapes[1]
    dim = call.get(2, "dim", 1) % len(widest)
    meant = tuple(size for axis, size in enumerate(widest) if axis != dim)
    return found and ShapeProblem("multiply", found.axes, meant, found.fact)


def elementwise_check(kind: str) -> ShapeCheck:
    def rule(call: ShapeCall) -> ShapeProblem | None:
        shapes = call.shapes()
        sign = FUNCTION_SIGNS.get(call.name, "and")
        return compare_shapes(shapes[:2], kind, strict=False, sign=sign) if len(shapes) > 1 else None

    return rule


# ------------------------------------------------------------ lists of values
def check_concat(call: ShapeCall) -> ShapeProblem | None:
    """Check that all sizes but those along `dim` are equal."""
    shapes, dim = call.shapes(), call.get(1, "dim", 0)
    rank = len(shapes[0])
    if len({len(shape) for shape in shapes}) > 1:
        return ShapeProblem("concat", (), shapes[0], mismatch_text(shapes))
    if not -rank <= dim < rank:
        fact = f"there is no dimension {dim} in {' and '.join(map(str, shapes))}"
        return ShapeProblem("concat", (), concat_shape(shapes, 1 if rank > 3 else rank - 1), fact)
    axes = differing_other_axes(shapes, dim % rank)
    channels = rank == 4 and not differing_other_axes(shapes, 1)  # images are joined along their channels
    meant = concat_shape(shapes, 1 if channels else dim % rank)
    return ShapeProblem("concat", axes, meant, f"{mismatch_text(shapes)} beside dimension {dim}") if axes else None


def differing_other_axes(shapes: Sequence[Shape], dim: int) -> tuple[int, ...]:
    """Return the axes other than `dim` on which the shapes differ."""
    return tuple(axis for axis in range(len(shapes[0])) if axis != dim and len({shape[axis] for shape in shapes}) > 1)


def concat_shape(shapes: Sequence[Shape], dim: int) -> Shape:
    """Return the first shape, with the sum of all sizes along `dim`."""
    return (*shapes[0][:dim], sum(shape[dim] for shape in shapes), *shapes[0][dim + 1 :])


def check_stack(call: ShapeCall) -> ShapeProblem | None:
    """Check that all shapes are equal."""
    shapes = call.shapes()
    dim = call.get(1, "dim", 0) % (len(shapes[0]) + 1)
    found = compare_shapes(shapes, "concat", strict=True)
    meant = (*shapes[0][:dim], len(shapes), *shapes[0][dim:])
    return found and ShapeProblem("concat", found.axes, meant, found.fact)


# ------------------------------------------------------------ products
def check_matmul(call: ShapeCall) -> ShapeProblem | None:
    """Check (…, n, k) @ (…, k, m): the last size of the left must be the last but one of the right."""
    shapes = call.shapes()
    left, right = shapes[1:3] if call.name in ("addmm", "baddbmm") else shapes[:2]
    inner = right[-2] if len(right) > 1 else right[0]
    meant = (*left[:-1], right[-1]) if len(right) > 1 else left[:-1]
    if left[-1] != inner and len(right) > 1 and left[-1] == right[-1]:
        meant = (*left[:-1], inner)  # probably the right operand should be transposed
    if left[-1] != inner:
        place = "last but one" if len(right) > 1 else "only one"
        fact = f"{left} @ {right}: the left one's last size is {left[-1]}, the right one's {place} is {inner}"
        return ShapeProblem("product", (len(left) - 1,), meant, fact)
    batch = differing_axes(left[:-2], right[:-2], strict=call.name == "bmm")
    return (
        ShapeProblem("product", batch, meant, f"{left} @ {right}: the sizes before the matrices differ")
        if batch
        else None
    )


def check_attention(call: ShapeCall) -> ShapeProblem | None:
    """Check q (…, L, E), k (…, S, E), v (…, S, Ev)."""
    query, key, value = (tuple(call.get(n, name)) for n, name in enumerate(("query", "key", "value")))
    meant = (*query[:-1], value[-1])
    rank, shown = len(query), f"query {query}, key {key}, value {value}"
    if query[-1] != key[-1]:
        fact = f"{shown}: query and key must have one size per head, {query[-1]} and {key[-1]} are two"
        return ShapeProblem("attention", (rank - 1,), meant, fact)
    if key[-2] != value[-2]:
        return ShapeProblem("attention", (rank - 2,), meant, f"{shown}: key and value must be of one length")
    if call.kwargs.get("enable_gqa"):  # each head of keys and values serves several query heads
        if query[-3] % key[-3]:
            fact = f"{shown}: {key[-3]} heads of keys do not divide {query[-3]} heads of queries"
            return ShapeProblem("attention", (rank - 3,), meant, fact)
        query, key = (shape[:-3] + shape[-2:] for shape in (query, key))
    axes = differing_axes(query[:-2], key[:-2], strict=False)
    if axes:
        return ShapeProblem("attention", axes, meant, f"{shown}: batch and heads differ")
    mask = call.get(3, "attn_mask")
    scores = (*meant[:-1], key[-2])
    if isinstance(mask, Dims) and not can_broadcast_to(mask, scores):
        fact = f"{shown}, attn_mask {tuple(mask)}: the mask must broadcast to the scores, {scores}"
        return ShapeProblem("attention", (), meant, fact)
    return None


def can_broadcast_to(shape: Shape, whole: Shape) -> bool:
    """Return whether a tensor of this shape can be expanded to `whole`."""
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(size in (1, wanted) for size, wanted in pairs)


# ------------------------------------------------------------ views
def check_view(call: ShapeCall) -> ShapeProblem | None:
    """Check that a view has as many elements as its input; -1 stands for one inferred size."""
    shape = call.shapes()[0]
    rest = call.args[1:] or tuple(value for value in call.kwargs.values() if not isinstance(value, Dims))
    sizes = tuple(rest[0]) if len(rest) == 1 and isinstance(rest[0], (tuple, list)) else rest
    odd = any(type(n) is not int or n < -1 for n in sizes)
    fixed, whole = 0 if odd else prod(n for n in sizes if n != -1), prod(shape)
    if odd or ((fixed and whole % fixed == 0) if -1 in sizes else fixed == whole):
        return None
    first = shape[0] if shape and sizes and sizes[0] == -1 else max(whole // fixed, 1) if fixed else 1
    meant = tuple(first if n == -1 else n for n in sizes)
    fact = f"{call.name}{sizes} wants {'a multiple of ' * (-1 in sizes)}{fixed:,} numbers, {shape} has {whole:,}"
    return ShapeProblem("view", (), meant, fact, WrongArgument("shape", sizes, shape))


def check_index(call: ShapeCall) -> ShapeProblem | None:
    """Check `x[3]`: indexes of the first dimension go from 0, or from -1 backwards."""
    shape, index = call.shapes()[0], call.args[1]
    if type(index) is not int or not shape or -shape[0] <= index < shape[0]:
        return None
    return ShapeProblem("view", (0,), shape[1:], f"there is no index {index} in dimension 0 of {shape}")


# ------------------------------------------------------------ layers
def size_message(layer: str, argument: str, said: object, shape: Shape, has: object) -> str:
    """Return the message on a layer whose argument does not match the size of its input."""
    return f"{layer} says {argument}={said} but its input is {tuple(shape)}, which has {has}"


def compare_layer_size(
    layer: str, argument: str, said: object, has: object, shape: Shape, axis: int, meant: Shape
) -> ShapeProblem | None:
    if said == has:
        return None
    fact = size_message(layer, argument, said, shape, has)
    return ShapeProblem("layer", (axis,) if shape else (), meant, fact, WrongArgument(argument, said, has))


def check_linear(call: ShapeCall) -> ShapeProblem | None:
    """Check x (…, in_features), weight (out_features, in_features)."""
    shape, weight = call.shapes()[:2]
    meant = (*shape[:-1], weight[0])
    return compare_layer_size(call.name, "in_features", weight[1], shape[-1], shape, len(shape) - 1, meant)


def check_conv(call: ShapeCall) -> ShapeProblem | None:
    """Check x (N, in_channels, …), weight (out, in/groups, …), transposed: (in, out/groups, …)."""
    shape, weight = call.shapes()[:2]
    spatial = len(weight) - 2
    transposed = "transpose" in call.name.lower()
    values = dict(
        zip(CONV_TRANSPOSE_PARAMETERS if transposed else CONV_PARAMETERS, call.args[3:], strict=False)
    ) | dict(call.kwargs)
    groups = values.get("groups", 1)
    said, out = (weight[0], weight[1] * groups) if transposed else (weight[1] * groups, weight[0])
    if len(shape) not in (spatial + 1, spatial + 2):
        rank = spatial + 2
        meant = (shape + (1,) * rank)[:rank]
        fact = f"{call.name} wants {rank} dimensions but its input is {shape}"
        if f"{spatial}d" not in call.name:
            fact = f"{call.name} has a kernel of {spatial} sizes: its weight is {weight}"
        return ShapeProblem("layer", (), meant, fact)
    axis = len(shape) - spatial - 1
    meant = (*shape[:axis], out, *conv_output_sizes(shape[-spatial:], weight[2:], values, transposed=transposed))
    found = compare_layer_size(call.name, "in_channels", said, shape[axis], shape, axis, meant)
    fits = bool(found) or transposed or values.get("padding") == "same"
    return found if fits else check_kernel_fits(call.name, shape, weight[2:], values, meant)


def check_pool(call: ShapeCall) -> ShapeProblem | None:
    """Check x (N, C, …): the padding may be at most half of the kernel, and the kernel must fit."""
    shape, average, spatial = call.shapes()[0], "avg" in call.name.lower(), int(call.name[-2])
    names = (*POOL_PARAMETERS[:3], "ceil_mode") if average else POOL_PARAMETERS
    values = dict(zip(names, call.args[1:], strict=False)) | dict(call.kwargs)
    kernel, padding = (per_axis(values.get(name, 0), spatial) for name in ("kernel_size", "padding"))
    half = tuple(min(p, largest_pool_padding(k)) for p, k in zip(padding, kernel, strict=True))
    values |= {"stride": values.get("stride") or kernel, "padding": half}
    bare = average and spatial == 3  # torch requires an input of the kernel's size there, without padding
    least = tuple(max(n, k * bare) for n, k in zip(shape[-spatial:], kernel, strict=True))
    meant = (*shape[:-spatial], *conv_output_sizes(least, kernel, values, transposed=False))
    if half != padding:
        fact = f"{call.name}: a padding of {max(padding)} is more than half of the kernel, {min(kernel)}"
        wrong = WrongArgument("padding", max(padding), largest_pool_padding(min(kernel)))
        return ShapeProblem("layer", (), meant, fact, wrong)
    return check_kernel_fits(call.name, shape, kernel, values | {"padding": 0} if bare else values, meant)


def check_kernel_fits(
    layer: str, shape: Shape, kernel: Shape, values: Mapping[str, Any], meant: Shape
) -> ShapeProblem | None:
    """Return a problem if a kernel is larger than its padded input (with ceil_mode, by a stride or more)."""
    count, values = len(kernel), {name: value for name, value in values.items() if value != "valid"}
    padding, dilation, stride = (
        per_axis(values.get(name, default), count) for name, default in (("padding", 0), ("dilation", 1), ("stride", 1))
    )
    sizes, rounds = shape[-count:], bool(values.get("ceil_mode"))
    for axis, (size, k, p, d, s) in enumerate(zip(sizes, kernel, padding, dilation, stride, strict=True)):
        if size > 0 and is_kernel_too_large(size + (s - 1) * rounds, k, p, d):
            window, image = "×".join(map(str, kernel)), "×".join(map(str, sizes))
            fact = f"{layer}: a kernel of {window} does not fit its input of {image} (padding {p}, dilation {d})"
            return ShapeProblem("layer", (len(shape) - count + axis,), meant, fact)
    return None


POOL_PARAMETERS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
CONV_PARAMETERS = ("stride", "padding", "dilation", "groups")
CONV_TRANSPOSE_PARAMETERS = ("stride", "padding", "output_padding", "groups", "dilation")


def conv_output_sizes(sizes: Shape, kernel: Shape, values: Mapping[str, Any], *, transposed: bool) -> Shape:
    """Return the output sizes of a (transposed) convolution or pool, at least 1, by the formulas of torch.nn.Conv2d."""
    if values.get("padding") == "same":
        return sizes
    count, values = len(sizes), {name: value for name, value in values.items() if value != "valid"}
    stride, padding, dilation, extra = (
        per_axis(values.get(name, default), count)
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    )
    window = Window(kernel, stride, padding, dilation, extra, transposed, bool(values.get("ceil_mode")))
    return tuple(max(window.size(size, axis), 1) for axis, size in enumerate(sizes))


def check_batch_norm(call: ShapeCall) -> ShapeProblem | None:
    shape, *others = call.shapes()
    said = others[0][0]
    return compare_layer_size(call.name, "num_features", said, shape[1], shape, 1, shape)


def check_group_norm(call: ShapeCall) -> ShapeProblem | None:
    shape, *others = call.shapes()
    return compare_layer_size(call.name, "num_channels", others[0][0], shape[1], shape, 1, shape) if others else None


def check_layer_norm(call: ShapeCall) -> ShapeProblem | None:
    shape = call.shapes()[0]
    said = tuple(call.get(1, "normalized_shape"))
    has = shape[-len(said) :]
    wanted, found = (said[0], has[0]) if len(said) == 1 else (said, has)
    return compare_layer_size(call.name, "normalized_shape", wanted, found, shape, len(shape) - 1, shape)


SHAPE_CHECKS: Mapping[str, ShapeCheck] = {
    **dict.fromkeys(("add", "sub", "subtract", "rsub"), elementwise_check("add")),
    **dict.fromkeys(
        ("mul", "multiply", "div", "divide", "truediv", "true_divide", "pow"), elementwise_check("multiply")
    ),
    **dict.fromkeys(
        ("maximum", "minimum", "floor_divide", "floordiv", "remainder", "fmod"), elementwise_check("multiply")
    ),
    **dict.fromkeys(("atan2", "hypot", "lt", "le", "gt", "ge", "eq", "ne"), elementwise_check("multiply")),
    **dict.fromkeys(("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"), check_pairwise_loss),
    "cosine_similarity": check_cosine_similarity,
    **dict.fromkeys(("cat", "concat", "concatenate"), check_concat),
    "stack": check_stack,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "addmm", "baddbmm"), check_matmul),
    "scaled_dot_product_attention": check_attention,
    **dict.fromkeys(("view", "reshape"), check_view),
    "getitem": check_index,
    "linear": check_linear,
    **{f"conv{d}d": check_conv for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": check_conv for d in (1, 2, 3)},
    **{f"{kind}_pool{d}d": check_pool for kind in ("max", "avg") for d in (1, 2, 3)},
    "batch_norm": check_batch_norm,
    "instance_norm": check_batch_norm,
    "group_norm": check_group_norm,
    "layer_norm": check_layer_norm,
    "rms_norm": check_layer_norm,
}
"""Short name of a function → its shape check."""
