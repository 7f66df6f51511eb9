"""What fits what, by shapes alone: the call of a function → None, or the Misfit: what disagrees, and what was meant.

    find("cat", ((Dims, Dims), 1), {}) → the rule of "cat" → Misfit(kind, axes, meant, fact, says)

A tensor among the arguments is its shape, as `Dims`. The recorder and the compiler ask the same table, so that both go
on with the same shape, and the words are the same on every device: torch's own complaint is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from archscope.trace import Says, Shape


class Dims(tuple[int, ...]):
    """The shape of a tensor that stands among the arguments of a call."""

    __slots__ = ()


@dataclass(frozen=True)
class Called:
    """A function's call with shapes in place of tensors. name: the function's, or that of the layer it works for."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def shapes(self) -> list[Shape]:
        """Every shape among the arguments, in lists too."""
        values = (*self.args, *self.kwargs.values())
        lists = ((value,) if isinstance(value, Dims) else value for value in values if isinstance(value, (list, tuple)))
        return [tuple(item) for items in lists for item in items if isinstance(item, Dims)]

    def get(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)


@dataclass(frozen=True)
class Misfit:
    """Operands that do not go together.

    kind: `add`, `multiply`, `concat`, `product`, `attention`, `layer`, `view`. axes: of the widest operand, those that
    disagree. meant: the shape that the author must have had in mind. fact: the disagreement in a few words.
    """

    kind: str
    axes: tuple[int, ...]
    meant: Shape
    fact: str
    says: Says | None = None


Rule = Callable[[Called], Misfit | None]


def find(op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, layer: str = "") -> Misfit | None:
    """What does not fit in the call of a function (by its short name, `add_` like `add`); None where nothing is known.

    layer: the class whose work the call is, for its sentence.
    """
    name = op.removesuffix("_")
    rule = RULES.get(name)
    try:
        return rule(Called(layer or name, args, kwargs)) if rule else None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):  # a call that no signature allows
        return None


def parting_axes(first: Shape, second: Shape, *, strict: bool) -> tuple[int, ...]:
    """The axes, aligned to the right and counted in the longer shape, where the shapes cannot broadcast.

    strict: where they are not equal; an axis that one of them lacks parts them too.
    """
    rank = max(len(first), len(second))
    left, right = (((None,) * (rank - len(shape)) + tuple(shape)) for shape in (first, second))
    soft = () if strict else (1, None)
    pairs = enumerate(zip(left, right, strict=True))
    return tuple(axis for axis, (a, b) in pairs if a != b and a not in soft and b not in soft)


# ------------------------------------------------------------ two values, element by element
SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "div": "/", "pow": "**", "remainder": "%"}


def unequal(shapes: Sequence[Shape], kind: str, *, strict: bool, sign: str = "and") -> Misfit | None:
    """Shapes that must be equal (`strict`) or broadcast; the one that was meant goes on."""
    first = tuple(shapes[0])
    axes = sorted({axis for other in shapes[1:] for axis in parting_axes(first, other, strict=strict)})
    return Misfit(kind, tuple(axes), meant_sum(shapes) if strict else first, unlike(shapes, sign)) if axes else None


def meant_sum(shapes: Sequence[Shape]) -> Shape:
    """The shape that a sum of unequal operands was meant to have: the first operand's (a residual's main path).

    Where one has the other's sizes in another order, the last one's: a shortcut still has the order of the input.
    """
    first, last = tuple(shapes[0]), tuple(shapes[-1])
    return last if is_reordered(first, last) else first


def is_reordered(first: Shape, second: Shape) -> bool:
    """Whether two shapes have the same sizes in another order."""
    return tuple(first) != tuple(second) and sorted(first) == sorted(second)


def unlike(shapes: Sequence[Shape], sign: str = "and") -> str:
    return f"shapes do not match: {f' {sign} '.join(str(tuple(shape)) for shape in shapes)}"


def reduced(call: Called) -> Misfit | None:
    """A loss of two values: a number, or (`reduction="none"`) as many as they have together."""
    found = unequal(call.shapes()[:2], "add", strict=False)
    meant = call.shapes()[0] if call.kwargs.get("reduction") == "none" else ()
    return found and Misfit("add", found.axes, meant, found.fact)


def compared_along(call: Called) -> Misfit | None:
    """`cosine_similarity(a, b, dim)`: one number for each pair of vectors along a dimension."""
    shapes = call.shapes()
    found = unequal(shapes[:2], "multiply", strict=False)
    widest = shapes[0] if len(shapes[0]) >= len(shapes[1]) else shapes[1]
    dim = call.get(2, "dim", 1) % len(widest)
    meant = tuple(size for axis, size in enumerate(widest) if axis != dim)
    return found and Misfit("multiply", found.axes, meant, found.fact)


def combined(kind: str) -> Rule:
    def rule(call: Called) -> Misfit | None:
        shapes = call.shapes()
        sign = SIGNS.get(call.name, "and")
        return unequal(shapes[:2], kind, strict=False, sign=sign) if len(shapes) > 1 else None

    return rule


# ------------------------------------------------------------ lists of values
def concatenated(call: Called) -> Misfit | None:
    """All sizes but those along `dim` must be equal."""
    shapes, dim = call.shapes(), call.get(1, "dim", 0)
    rank = len(shapes[0])
    if len({len(shape) for shape in shapes}) > 1:
        return Misfit("concat", (), shapes[0], unlike(shapes))
    if not -rank <= dim < rank:
        fact = f"there is no dimension {dim} in {' and '.join(map(str, shapes))}"
        return Misfit("concat", (), along(shapes, 1 if rank > 3 else rank - 1), fact)
    axes = beside(shapes, dim % rank)
    channels = rank == 4 and not beside(shapes, 1)  # images are joined along their channels
    meant = along(shapes, 1 if channels else dim % rank)
    return Misfit("concat", axes, meant, f"{unlike(shapes)} beside dimension {dim}") if axes else None


def beside(shapes: Sequence[Shape], dim: int) -> tuple[int, ...]:
    """The axes other than `dim` on which the shapes differ."""
    return tuple(axis for axis in range(len(shapes[0])) if axis != dim and len({shape[axis] for shape in shapes}) > 1)


def along(shapes: Sequence[Shape], dim: int) -> Shape:
    """The first shape, with the sum of all along `dim`."""
    return (*shapes[0][:dim], sum(shape[dim] for shape in shapes), *shapes[0][dim + 1 :])


def stacked(call: Called) -> Misfit | None:
    """All shapes must be equal."""
    shapes = call.shapes()
    dim = call.get(1, "dim", 0) % (len(shapes[0]) + 1)
    found = unequal(shapes, "concat", strict=True)
    meant = (*shapes[0][:dim], len(shapes), *shapes[0][dim:])
    return found and Misfit("concat", found.axes, meant, found.fact)


# ------------------------------------------------------------ products
def multiplied(call: Called) -> Misfit | None:
    """(…, n, k) @ (…, k, m): the last of the left and the last but one of the right."""
    shapes = call.shapes()
    left, right = shapes[1:3] if call.name in ("addmm", "baddbmm") else shapes[:2]
    inner = right[-2] if len(right) > 1 else right[0]
    meant = (*left[:-1], right[-1]) if len(right) > 1 else left[:-1]
    if left[-1] != inner and len(right) > 1 and left[-1] == right[-1]:
        meant = (*left[:-1], inner)  # the right one was to be transposed
    if left[-1] != inner:
        fact = f"{left} @ {right}: the left one's last size is {left[-1]}, the right one's {ordinal(right)} is {inner}"
        return Misfit("product", (len(left) - 1,), meant, fact)
    batch = parting_axes(left[:-2], right[:-2], strict=call.name == "bmm")
    return Misfit("product", batch, meant, f"{left} @ {right}: the sizes before the matrices differ") if batch else None


def ordinal(shape: Shape) -> str:
    return "last but one" if len(shape) > 1 else "only one"


def attended(call: Called) -> Misfit | None:
    """q (…, L, E), k (…, S, E), v (…, S, Ev)."""
    query, key, value = (tuple(call.get(n, name)) for n, name in enumerate(("query", "key", "value")))
    meant = (*query[:-1], value[-1])
    rank, shown = len(query), f"query {query}, key {key}, value {value}"
    if query[-1] != key[-1]:
        fact = f"{shown}: query and key must have one size per head, {query[-1]} and {key[-1]} are two"
        return Misfit("attention", (rank - 1,), meant, fact)
    if key[-2] != value[-2]:
        return Misfit("attention", (rank - 2,), meant, f"{shown}: key and value must be of one length")
    if call.kwargs.get("enable_gqa"):  # heads of keys and values count for several of the query
        if query[-3] % key[-3]:
            fact = f"{shown}: {key[-3]} heads of keys do not divide {query[-3]} heads of queries"
            return Misfit("attention", (rank - 3,), meant, fact)
        query, key = (shape[:-3] + shape[-2:] for shape in (query, key))
    axes = parting_axes(query[:-2], key[:-2], strict=False)
    if axes:
        return Misfit("attention", axes, meant, f"{shown}: batch and heads differ")
    mask = call.get(3, "attn_mask")
    scores = (*meant[:-1], key[-2])
    if isinstance(mask, Dims) and not broadcasts_to(mask, scores):
        fact = f"{shown}, attn_mask {tuple(mask)}: the mask must broadcast to the scores, {scores}"
        return Misfit("attention", (), meant, fact)
    return None


def broadcasts_to(shape: Shape, whole: Shape) -> bool:
    """Whether a tensor of this shape can be read as one of the whole shape."""
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(size in (1, wanted) for size, wanted in pairs)


# ------------------------------------------------------------ views
def viewed(call: Called) -> Misfit | None:
    """A view has as many elements as what it looks at; -1 takes what is left."""
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
    return Misfit("view", (), meant, fact, Says("shape", sizes, shape))


def indexed(call: Called) -> Misfit | None:
    """`x[3]`: the first dimension has an index from 0, or from -1 backwards."""
    shape, index = call.shapes()[0], call.args[1]
    if type(index) is not int or not shape or -shape[0] <= index < shape[0]:
        return None
    return Misfit("view", (0,), shape[1:], f"there is no index {index} in dimension 0 of {shape}")


# ------------------------------------------------------------ layers
def told(layer: str, argument: str, said: object, shape: Shape, has: object) -> str:
    """The sentence on a layer that was told another size than its input has."""
    return f"{layer} says {argument}={said} but its input is {tuple(shape)}, which has {has}"


def wrong(layer: str, argument: str, said: object, has: object, shape: Shape, axis: int, meant: Shape) -> Misfit | None:
    if said == has:
        return None
    fact = told(layer, argument, said, shape, has)
    return Misfit("layer", (axis,), meant, fact, Says(argument, said, has))


def linear(call: Called) -> Misfit | None:
    """x (…, in_features), weight (out_features, in_features)."""
    shape, weight = call.shapes()[:2]
    meant = (*shape[:-1], weight[0])
    return wrong(call.name, "in_features", weight[1], shape[-1], shape, len(shape) - 1, meant)


def convolved(call: Called) -> Misfit | None:
    """x (N, in_channels, …), weight (out, in/groups, …), transposed: (in, out/groups, …)."""
    shape, weight = call.shapes()[:2]
    spatial = len(weight) - 2
    transposed = "transpose" in call.name.lower()
    values = dict(zip(TRANSPOSED if transposed else CONVOLUTION, call.args[3:], strict=False)) | dict(call.kwargs)
    groups = values.get("groups", 1)
    said, out = (weight[0], weight[1] * groups) if transposed else (weight[1] * groups, weight[0])
    if len(shape) not in (spatial + 1, spatial + 2):
        return misranked(call.name, shape, spatial + 2)
    axis = len(shape) - spatial - 1
    meant = (*shape[:axis], out, *convolved_sizes(shape[-spatial:], weight[2:], values, transposed=transposed))
    found = wrong(call.name, "in_channels", said, shape[axis], shape, axis, meant)
    fits = bool(found) or transposed or values.get("padding") == "same"
    return found if fits else oversized(call.name, shape, weight[2:], values, meant)


def pooled(call: Called) -> Misfit | None:
    """x (N, C, …); a padding of more than half of the kernel is refused."""
    shape, average, spatial = call.shapes()[0], "avg" in call.name.lower(), int(call.name[-2])
    names = (*POOL[:3], "ceil_mode") if average else POOL
    values = dict(zip(names, call.args[1:], strict=False)) | dict(call.kwargs)
    kernel, padding = (each(values.get(name, 0), spatial) for name in ("kernel_size", "padding"))
    half = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    values |= {"stride": values.get("stride") or kernel, "padding": half}
    bare = average and spatial == 3  # torch asks for an input of the kernel's size there, whatever is around it
    least = tuple(max(n, k * bare) for n, k in zip(shape[-spatial:], kernel, strict=True))
    meant = (*shape[:-spatial], *convolved_sizes(least, kernel, values, transposed=False))
    if half != padding:
        fact = f"{call.name}: a padding of {max(padding)} is more than half of the kernel, {min(kernel)}"
        return Misfit("layer", (), meant, fact, Says("padding", max(padding), min(kernel) // 2))
    return oversized(call.name, shape, kernel, values | {"padding": 0} if bare else values, meant)


def oversized(layer: str, shape: Shape, kernel: Shape, values: Mapping[str, Any], meant: Shape) -> Misfit | None:
    """A kernel that is larger than its padded input; where sizes are rounded up, by a stride or more."""
    count, values = len(kernel), {name: value for name, value in values.items() if value != "valid"}
    padding, dilation, stride = (
        each(values.get(name, default), count) for name, default in (("padding", 0), ("dilation", 1), ("stride", 1))
    )
    sizes, rounds = shape[-count:], bool(values.get("ceil_mode"))
    for axis, (size, k, p, d, s) in enumerate(zip(sizes, kernel, padding, dilation, stride, strict=True)):
        if size > 0 and size + 2 * p + (s - 1) * rounds < d * (k - 1) + 1:
            window, image = "×".join(map(str, kernel)), "×".join(map(str, sizes))
            fact = f"{layer}: a kernel of {window} does not fit its input of {image} (padding {p}, dilation {d})"
            return Misfit("layer", (len(shape) - count + axis,), meant, fact)
    return None


def misranked(layer: str, shape: Shape, rank: int) -> Misfit:
    meant = (shape + (1,) * rank)[:rank]
    return Misfit("layer", (), meant, f"{layer} wants {rank} dimensions but its input is {shape}")


POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
CONVOLUTION = ("stride", "padding", "dilation", "groups")
TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")


def convolved_sizes(sizes: Shape, kernel: Shape, values: Mapping[str, Any], *, transposed: bool) -> Shape:
    """Output sizes of a (transposed) convolution, at least 1, by the formulas of torch.nn.Conv2d."""
    if values.get("padding") == "same":
        return sizes
    count, values = len(sizes), {name: value for name, value in values.items() if value != "valid"}
    stride, padding, dilation, extra = (
        each(values.get(name, default), count)
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    )
    ends = zip(sizes, kernel, stride, padding, dilation, extra, strict=True)
    if values.get("ceil_mode"):
        rounded = ((-((d * (k - 1) + 1 - n - 2 * p) // s) + 1, n + p, s) for n, k, s, p, d, _ in ends)
        return tuple(max(size - ((size - 1) * s >= end), 1) for size, end, s in rounded)
    if transposed:
        return tuple(max((n - 1) * s - 2 * p + d * (k - 1) + e + 1, 1) for n, k, s, p, d, e in ends)
    return tuple(max((n + 2 * p - d * (k - 1) - 1) // s + 1, 1) for n, k, s, p, d, _ in ends)


def each(value: Any, count: int) -> tuple[int, ...]:
    """One number for each spatial axis."""
    if isinstance(value, int):
        return (value,) * count
    return tuple(value) if len(value) == count else tuple(value) * count


def batch_normed(call: Called) -> Misfit | None:
    shape, *others = call.shapes()
    said = others[0][0]
    return wrong(call.name, "num_features", said, shape[1], shape, 1, shape)


def group_normed(call: Called) -> Misfit | None:
    shape, *others = call.shapes()
    return wrong(call.name, "num_channels", others[0][0], shape[1], shape, 1, shape) if others else None


def layer_normed(call: Called) -> Misfit | None:
    shape = call.shapes()[0]
    said = tuple(call.get(1, "normalized_shape"))
    has = shape[-len(said) :]
    one = len(said) == 1
    return wrong(
        call.name, "normalized_shape", said[0] if one else said, has[0] if one else has, shape, len(shape) - 1, shape
    )


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("add", "sub", "subtract", "rsub"), combined("add")),
    **dict.fromkeys(("mul", "multiply", "div", "divide", "truediv", "true_divide", "pow"), combined("multiply")),
    **dict.fromkeys(("maximum", "minimum", "floor_divide", "floordiv", "remainder", "fmod"), combined("multiply")),
    **dict.fromkeys(("atan2", "hypot", "lt", "le", "gt", "ge", "eq", "ne"), combined("multiply")),
    **dict.fromkeys(("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"), reduced),
    "cosine_similarity": compared_along,
    **dict.fromkeys(("cat", "concat", "concatenate"), concatenated),
    "stack": stacked,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "addmm", "baddbmm"), multiplied),
    "scaled_dot_product_attention": attended,
    **dict.fromkeys(("view", "reshape"), viewed),
    "getitem": indexed,
    "linear": linear,
    **{f"conv{d}d": convolved for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": convolved for d in (1, 2, 3)},
    **{f"{kind}_pool{d}d": pooled for kind in ("max", "avg") for d in (1, 2, 3)},
    "batch_norm": batch_normed,
    "instance_norm": batch_normed,
    "group_norm": group_normed,
    "layer_norm": layer_normed,
    "rms_norm": layer_normed,
}
"""Function (short name) → what does not fit in a call of it."""
