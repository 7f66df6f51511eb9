"""The direct table: torch functions whose lowering is fixed, as kernels from shapes alone.

    Invocation (arguments, output shapes) → product, convolution, attention … → Kernels; None: replay it

The meta device needs seconds for its first operator, so common functions do not go there. What is not in the table is
replayed (see `replay.py`); tests hold the table against the replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from archscope.cost import FREE
from archscope.trace import Kernel, Shape


@dataclass(frozen=True)
class Invocation:
    """One call of a torch function: its arguments as they were given and the shapes of what came out."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Shape, ...]

    def get(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def shape(self, position: int, name: str) -> Shape:
        return tuple(self.get(position, name).shape)


Kernels = tuple[Kernel, ...]
Lowering = Callable[[Invocation], Kernels | None]


def product(left: Shape, right: Shape) -> Kernel:
    """The kernel of `left @ right`: dot, mv, mm, or bmm with the batch in one axis (torch.matmul's shape rules)."""
    if len(left) == len(right) == 1:
        return Kernel("aten.dot", (left, right), ((),))
    if len(left) == 1:
        left = (1, *left)
    rows, inner = prod(left[:-1]), left[-1]
    if len(right) == 1:
        return Kernel("aten.mv", ((rows, inner), right), ((rows,),))
    if len(right) == 2:
        return Kernel("aten.mm", ((rows, inner), right), ((rows, right[1]),))
    batch = prod(torch.broadcast_shapes(left[:-2], right[:-2]))
    shapes = (batch, left[-2], inner), (batch, inner, right[-1])
    return Kernel("aten.bmm", shapes, ((batch, left[-2], right[-1]),))


def matmul(call: Invocation) -> Kernels:
    return (product(*operands(call, 0, 2)),)


def reflected_matmul(call: Invocation) -> Kernels:
    right, left = operands(call, 0, 2)
    return (product(left, right),)


def added_product(call: Invocation) -> Kernels:
    return (product(*operands(call, 1, 3)),)


def added_batches(call: Invocation) -> Kernels:
    left, right = operands(call, 1, 3)
    return (Kernel("aten.addbmm", (left, right), call.outputs),)


def operands(call: Invocation, start: int, stop: int) -> list[Shape]:
    """Shapes of the tensors at positions start … stop - 1, in the order that the caller gave them."""
    given = [*call.args, *call.kwargs.values()]
    return [tuple(value.shape) for value in given if isinstance(value, torch.Tensor)][start:stop]


def linear(call: Invocation) -> Kernels:
    weight = call.shape(1, "weight")
    return (product(call.shape(0, "input"), weight[::-1]),)


def bilinear(call: Invocation) -> Kernels:
    left, right = call.shape(0, "input1"), call.shape(1, "input2")
    rows = prod(left[:-1])
    weight = call.shape(2, "weight")
    expand = (("expand1", (1, 3)), ("expand2", (0,)), ("expand3", (1, 2)))
    return (Kernel("aten._trilinear", ((rows, left[-1]), weight, (rows, right[-1])), ((rows, weight[0]),), expand),)


def convolution(call: Invocation) -> Kernels:
    return (convolved(call, transposed=False),)


def transposed_convolution(call: Invocation) -> Kernels:
    return (convolved(call, transposed=True),)


def convolved(call: Invocation, *, transposed: bool) -> Kernel:
    shapes = call.shape(0, "input"), call.shape(1, "weight")
    return Kernel("aten.convolution", shapes, call.outputs, (("transposed", transposed),))


def attention(call: Invocation) -> Kernels:
    shapes = call.shape(0, "query"), call.shape(1, "key"), call.shape(2, "value")
    return (Kernel("aten.scaled_dot_product_attention", shapes, call.outputs),)


def multi_head_attention(call: Invocation) -> Kernels | None:
    """Projections of query, key and value, attention per head, output projection.

    A learned or a zero token (bias_k, add_zero_attn) makes the attended sequence longer by one. Static keys: replay.
    """
    if call.get(21, "static_k") is not None or call.get(22, "static_v") is not None:
        return None
    query, key, value = call.shape(0, "query"), call.shape(1, "key"), call.shape(2, "value")
    width, heads = query[-1], call.get(4, "num_heads")
    batch = query[1] if len(query) == 3 else 1
    source = key[0] + (call.get(7, "bias_k") is not None) + bool(call.get(9, "add_zero_attn"))
    near, far = ((batch, heads, length, width // heads) for length in (query[0], source))
    projections = [product(shape, (shape[-1], width)) for shape in (query, key, value)]
    core = Kernel("aten.scaled_dot_product_attention", (near, far, far), (near,))
    return (*projections, core, product(query, (width, width)))


def recurrent(call: Invocation) -> Kernels:
    """Every token meets every weight matrix of every layer and direction once: LSTM, GRU, RNN, also packed ones."""
    packed = isinstance(call.args[3], (list, tuple))
    return stepped(call, call.args[3] if packed else call.args[2])


def cell(call: Invocation) -> Kernels:
    return stepped(call, (call.get(2, "w_ih"), call.get(3, "w_hh")))


def stepped(call: Invocation, weights: Any) -> Kernels:
    tokens = prod(call.shape(0, "input")[:-1])
    shapes = [tuple(weight.shape) for weight in weights]
    return tuple(product((tokens, shape[1]), shape[::-1]) for shape in shapes if len(shape) == 2)


def einsum(call: Invocation) -> Kernels | None:
    """Two operands: one batched product over the letters that both have and the result has not. Others are replayed."""
    equation, *factors = call.args
    if not isinstance(equation, str) or "." in equation or len(factors) != 2:
        return None
    sides, arrow, result = equation.replace(" ", "").partition("->")
    pairs = zip(sides.split(","), factors, strict=True)
    left, right = (dict(zip(side, factor.shape, strict=True)) for side, factor in pairs)
    if not arrow or len(left) + len(right) + 1 != len(sides):
        return None
    return contraction(left, right, result)


def contraction(left: dict[str, int], right: dict[str, int], result: str) -> Kernels:
    """Letters of both sides are batch (kept) or inner (summed); one side's letter that is not kept is summed before."""
    both = left.keys() & right.keys()
    inner = prod(min(left[letter], right[letter]) for letter in both if letter not in result)
    if both <= set(result):
        return ()
    batch = prod(max(left[letter], right[letter]) for letter in both if letter in result)
    rows = prod(size for letter, size in left.items() if letter in result and letter not in both)
    columns = prod(size for letter, size in right.items() if letter in result and letter not in both)
    return (product((batch, rows, inner), (batch, inner, columns)),)


LOWERINGS: Mapping[str, Lowering] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "matmul"), matmul),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), added_product),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), transposed_convolution),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), cell),
    "rmatmul": reflected_matmul,
    "addbmm": added_batches,
    "linear": linear,
    "bilinear": bilinear,
    "einsum": einsum,
    "scaled_dot_product_attention": attention,
    "multi_head_attention_forward": multi_head_attention,
}

FREE_FUNCTIONS = frozenset(
    "aten." + name
    for name in (
        "H T mH mT data getitem setitem invert as_tensor asarray tensor from_numpy new_tensor new type requires_grad",
        "bfloat16 bool byte char cpu cuda double float half int long short broadcast_tensors",
        "dropout1d dropout2d dropout3d fold softmin softsign tanhshrink logsigmoid gumbel_softmax normalize",
        "adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices",
        "fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices lp_pool1d lp_pool2d lp_pool3d",
        "max_unpool1d interpolate upsample upsample_nearest upsample_bilinear grid_sample local_response_norm",
        "cross_entropy gaussian_nll_loss multilabel_soft_margin_loss pdist",
    )
    for name in name.split()
)
"""Functions without products that are no aten operators, beside `FREE`."""

MIXED = frozenset({"aten.norm"})
"""Free kernels whose function of the same name may do more: `torch.norm(p="nuc")` decomposes a matrix."""


def is_free(name: str, op: str) -> bool:
    """Whether the function `name` (short name `op`) has no products whatever its arguments are."""
    kernel = "aten." + written(op)
    return of_torch(name) and kernel not in MIXED and (kernel in FREE or kernel in FREE_FUNCTIONS)


def lowering(name: str, op: str) -> Lowering | None:
    """How the function `name` (short name `op`) lowers, or None where only a replay can tell."""
    return LOWERINGS.get(written(op)) if of_torch(name) else None


def of_torch(name: str) -> bool:
    """A function of torch's own; `torch.ops` also holds other people's."""
    return name.startswith("torch.") and not name.startswith("torch.ops.")


def written(op: str) -> str:
    """`relu_` is `relu`, written elsewhere."""
    return op if op.startswith("_") else op.removesuffix("_")
