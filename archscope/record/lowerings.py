"""The table of lowerings: torch functions whose kernels follow from shapes alone.

    OpCall (arguments, output shapes) → product, convolution, attention … → Kernels; None: replay it

The first operator on the meta device takes seconds, so common functions do not run there. Functions that are not in
the table are replayed (see `replay.py`); tests compare the table with the replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from archscope.cost import FORMULAS, FREE_KERNELS
from archscope.record.op_call import Lowering, OpCall, shape_of, tensors_in
from archscope.record.product_kernels import (
    attention_kernels,
    einsum_kernels,
    linear_kernels,
    matmul_kernels,
    product_kernel,
    sparse_kernel,
    tensordot_kernel,
    vecdot_kernel,
)
from archscope.record.quantized import QUANTIZED_LOWERINGS
from archscope.trace import Kernel, Kernels

__all__ = ["FREE_FUNCTIONS", "LOWERINGS", "Kernels", "Lowering", "OpCall", "find_lowering", "is_free"]


MM_IF_NECESSARY = "use_mm_for_euclid_dist_if_necessary"


# ------------------------------------------------------------ products
def matmul(call: OpCall) -> Kernels:
    left, right = call.operands()[:2]
    return matmul_kernels(left, right, call.outputs)


def reflected_matmul(call: OpCall) -> Kernels:
    right, left = call.operands()[:2]
    return matmul_kernels(left, right, call.outputs)


def addmm_product(call: OpCall) -> Kernels:
    left, right = call.operands()[1:3]
    return matmul_kernels(left, right, call.outputs)


def addbmm_product(call: OpCall) -> Kernels:
    left, right = map(shape_of, call.operands()[1:3])
    return (Kernel("aten.addbmm", (left, right), call.outputs),)


def sampled_addmm_product(call: OpCall) -> Kernels:
    return (sparse_kernel("aten.sparse_sampled_addmm", call.operands()[:3], call.outputs),)


def linear(call: OpCall) -> Kernels:
    return linear_kernels(call.get(0, "input"), call.get(1, "weight"), call.outputs)


def einsum_products(call: OpCall) -> Kernels:
    return einsum_kernels(call.args)


def tensordot_product(call: OpCall) -> Kernels:
    return (tensordot_kernel(call.shape(0, "a"), call.shape(1, "b"), call.get(2, "dims", 2)),)


def vecdot_products(call: OpCall) -> Kernels:
    return (vecdot_kernel(call.shape(0, "x"), call.shape(1, "y"), call.kwargs.get("dim", -1)),)


def grouped_mm_product(call: OpCall) -> Kernels:
    """The tensors in order; the offsets of the groups, mostly passed by keyword, do not count."""
    shapes = call.shape(0, "self"), call.shape(1, "mat2")
    return (Kernel("aten._grouped_mm", shapes, call.outputs),)


def inner_product(call: OpCall) -> Kernels:
    """The product of each vector of the left with each vector of the right."""
    left, right = map(shape_of, call.operands()[:2])
    if not left or not right:
        return ()
    return (product_kernel((prod(left[:-1]), left[-1]), (right[-1], prod(right[:-1]))),)


def covariance(call: OpCall) -> Kernels:
    """The product of the variables (rows) with each other: (n, m) × (m, n)."""
    shape = call.shape(0, "input")
    rows, inner = (prod(shape[:-1]), shape[-1]) if shape else (1, 1)
    return (product_kernel((rows, inner), (inner, rows)),)


def cdist_kernel(call: OpCall) -> Kernels:
    """cdist: by products if the mode says so, or if there are more than 25 points on a side."""
    left, right = call.shape(0, "x1"), call.shape(1, "x2")
    mode = call.get(3, "compute_mode", MM_IF_NECESSARY)
    many = mode in (MM_IF_NECESSARY, None, 0) and max(left[-2], right[-2]) > 25
    euclidean = call.get(2, "p", 2.0) == 2 and (many or mode in ("use_mm_for_euclid_dist", 1))
    return (Kernel("aten._euclidean_dist" if euclidean else "aten._cdist_forward", (left, right), call.outputs),)


def norm(call: OpCall) -> Kernels | None:
    """torch.norm and Tensor.norm: only the nuclear norm decomposes a matrix."""
    return None if call.get(1, "p", "fro") == "nuc" else ()


def affine_grid_product(call: OpCall) -> Kernels:
    """affine_grid: the points of an image, in homogeneous coordinates, times every image's matrix."""
    return (Kernel("aten.affine_grid_generator", (call.shape(0, "theta"),), call.outputs),)


def triangular_solve(call: OpCall) -> Kernels:
    attributes = (("unitriangular", bool(call.kwargs.get("unitriangular", False))),)
    return (
        Kernel("aten.linalg_solve_triangular", (call.shape(0, "self"), call.shape(1, "B")), call.outputs, attributes),
    )


def bilinear(call: OpCall) -> Kernels:
    left, right = call.shape(0, "input1"), call.shape(1, "input2")
    rows = prod(left[:-1])
    weight = call.shape(2, "weight")
    expand = (("expand1", (1, 3)), ("expand2", (0,)), ("expand3", (1, 2)))
    return (Kernel("aten._trilinear", ((rows, left[-1]), weight, (rows, right[-1])), ((rows, weight[0]),), expand),)


def convolution(call: OpCall) -> Kernels:
    return (convolution_kernel(call, transposed=False),)


def generic_convolution(call: OpCall) -> Kernels:
    """torch.convolution, which has an argument `transposed`."""
    return (convolution_kernel(call, transposed=bool(call.get(6, "transposed", False))),)


def transposed_convolution(call: OpCall) -> Kernels:
    return (convolution_kernel(call, transposed=True),)


def convolution_kernel(call: OpCall, *, transposed: bool) -> Kernel:
    shapes = call.shape(0, "input"), call.shape(1, "weight")
    return Kernel("aten.convolution", shapes, call.outputs, (("transposed", transposed),))


def attention(call: OpCall) -> Kernels:
    query, key, value = (call.get(*argument) for argument in ((0, "query"), (1, "key"), (2, "value")))
    if query.is_nested:
        return attention_kernels(query, key, value)
    shapes = shape_of(query), shape_of(key), shape_of(value)
    return (Kernel("aten.scaled_dot_product_attention", shapes, call.outputs[:1]),)


def flex_attention(call: OpCall) -> Kernels:
    """flex_attention: a block mask does not reduce the MACs, as with other masks."""
    shapes = call.shape(0, "query"), call.shape(1, "key"), call.shape(2, "value")
    return (Kernel("higher_order.flex_attention", shapes, call.outputs[:1]),)


def multi_head_attention(call: OpCall) -> Kernels | None:
    """Projections of query, key and value, attention per head, output projection (out, width).

    A learned or zero token (bias_k, add_zero_attn) makes the attended sequence longer by one. Static keys are replayed.
    """
    if call.get(21, "static_k") is not None or call.get(22, "static_v") is not None:
        return None
    query, key, value = call.shape(0, "query"), call.shape(1, "key"), call.shape(2, "value")
    width, heads = query[-1], call.get(4, "num_heads")
    batch = query[1] if len(query) == 3 else 1
    source = key[0] + (call.get(7, "bias_k") is not None) + bool(call.get(9, "add_zero_attn"))
    near, far = ((batch, heads, length, width // heads) for length in (query[0], source))
    projections = [product_kernel(shape, (shape[-1], width)) for shape in (query, key, value)]
    core = Kernel("aten.scaled_dot_product_attention", (near, far, far), (near,))
    return (*projections, core, product_kernel(query, call.shape(11, "out_proj_weight")[::-1]))


def rnn_layers(call: OpCall) -> Kernels:
    """Every token times every weight matrix of every layer and direction: LSTM, GRU, RNN, also of packed sequences."""
    packed = isinstance(call.args[3], (list, tuple))
    return rnn_products(call, call.args[3] if packed else call.args[2])


def rnn_cell(call: OpCall) -> Kernels:
    return rnn_products(call, (call.get(2, "w_ih"), call.get(3, "w_hh")))


def rnn_products(call: OpCall, weights: Any) -> Kernels:
    tokens = prod(call.shape(0, "input")[:-1])
    shapes = [tuple(weight.shape) for weight in weights]
    return tuple(product_kernel((tokens, shape[1]), shape[::-1]) for shape in shapes if len(shape) == 2)


ANY_LAYOUT_LOWERINGS: Mapping[str, Lowering] = {
    **dict.fromkeys(
        ("mm", "bmm", "mv", "dot", "vdot", "matmul", "_sparse_mm", "smm", "spmm", "dsmm", "hspmm", "hsmm"), matmul
    ),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "_sparse_addmm", "sspaddmm", "saddmm"), addmm_product),
    "rmatmul": reflected_matmul,
    "linear": linear,
    "scaled_dot_product_attention": attention,
    "sampled_addmm": sampled_addmm_product,
}
"""The lowerings of functions, by short name, that accept tensors of any layout."""

STRIDED_LOWERINGS: Mapping[str, Lowering] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), transposed_convolution),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), rnn_layers),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), rnn_cell),
    **dict.fromkeys(("cov", "corrcoef"), covariance),
    "_grouped_mm": grouped_mm_product,
    "addbmm": addbmm_product,
    "affine_grid": affine_grid_product,
    "bilinear": bilinear,
    "cdist": cdist_kernel,
    "convolution": generic_convolution,
    "einsum": einsum_products,
    "inner": inner_product,
    "multi_head_attention_forward": multi_head_attention,
    "norm": norm,
    **dict.fromkeys(("linalg_solve_triangular", "solve_triangular"), triangular_solve),
    "tensordot": tensordot_product,
    "vecdot": vecdot_products,
}
"""The lowerings of functions, by short name, that accept plain (strided) tensors only."""


def none_if_unknown(lower: Lowering, *, plain: bool = False) -> Lowering:
    """Return the lowering, but None if it fails on a call; with `plain`, also if a tensor is sparse or nested."""

    def attempt(call: OpCall) -> Kernels | None:
        try:
            return None if plain and not call.is_strided else lower(call)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
            return None

    return attempt


LOWERINGS: Mapping[str, Lowering] = {
    **{name: none_if_unknown(lower) for name, lower in ANY_LAYOUT_LOWERINGS.items()},
    **{name: none_if_unknown(lower, plain=True) for name, lower in STRIDED_LOWERINGS.items()},
}
"""All lowerings of functions, by short name."""

PRICED_BY_ATTRIBUTES = frozenset(
    f"aten.{name}"
    for names in (
        "_convolution convolution_overrideable _trilinear convolution_backward convolution_backward_overrideable",
        "_slow_conv2d_backward mps_convolution_backward mps_convolution_transpose_backward linear_backward",
        "mkldnn_linear_backward matmul_backward linalg_solve_triangular triangular_solve",
    )
    for name in names.split()
)
"""Kernels whose costs need more than shapes."""

OPERATOR_LOWERINGS: Mapping[str, Lowering] = {
    **{name: none_if_unknown(lower) for name, lower in QUANTIZED_LOWERINGS.items()},
    "higher_order.flex_attention": none_if_unknown(flex_attention),
}
"""The lowerings of operators without a function, by name."""

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
        "and or xor ror rxor lshift rshift rlshift rrshift ilshift irshift iadd isub imul idiv ifloordiv imod itruediv",
        "cdouble cfloat chalf ipu xpu mtia pin_memory diagflat fill_diagonal unique unravel_index kron vector_norm",
        "trapz cumulative_trapezoid gradient histogramdd fftshift ifftshift fused_moving_avg_obs_fake_quant",
        "fake_quantize_per_tensor_affine fake_quantize_per_channel_affine",
        "to_dense to_sparse to_sparse_coo to_sparse_csr to_sparse_csc to_sparse_bsr to_sparse_bsc coalesce",
        "sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor",
        "airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u",
        "chebyshev_polynomial_v chebyshev_polynomial_w entr erfcx expit gammainc gammaincc gammaln",
        "hermite_polynomial_h hermite_polynomial_he i0e i1 i1e laguerre_polynomial_l legendre_polynomial_p log_ndtr",
        "modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 multigammaln ndtr ndtri psi",
        "scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t",
        "shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w",
        "spherical_bessel_j0 xlog1py zeta",
    )
    for name in name.split()
)
"""Functions without products that are not aten operators, in addition to FREE_KERNELS."""

SOMETIMES_FREE = frozenset({"aten.norm"})
"""Free kernels whose function of the same name may do more: `torch.norm(p="nuc")` decomposes a matrix."""


def is_free(name: str, op: str) -> bool:
    """Return whether the function `name` (short name `op`) has no products, whatever its arguments are."""
    kernel = operator_name(name)
    if kernel:
        return kernel in FREE_KERNELS or functional_name(kernel) in FREE_KERNELS
    kernel = f"aten.{functional_name(op)}"
    return (
        name.startswith("torch.")
        and kernel not in SOMETIMES_FREE
        and (kernel in FREE_KERNELS or kernel in FREE_FUNCTIONS)
    )


def identity_lowering(kernel: str) -> Lowering:
    """Return the lowering of a function that is one kernel; the lowering returns None if keyword arguments are
    tensors."""

    def lower(call: OpCall) -> Kernels | None:
        if not call.is_strided or tensors_in(call.kwargs):
            return None
        return (Kernel(kernel, tuple(map(shape_of, tensors_in(call.args))), call.outputs),)

    return lower


def find_lowering(name: str, op: str) -> Lowering | None:
    """Return the lowering of the function `name` (short name `op`); None if it must be replayed."""
    kernel = operator_name(name)
    if kernel in OPERATOR_LOWERINGS:
        return OPERATOR_LOWERINGS[kernel]
    if not name.startswith("torch.") or name == "torch.linalg.norm":
        return None
    function = functional_name(kernel.removeprefix("aten.") or op)
    kernel = function if "." in function else f"aten.{function}"
    return LOWERINGS.get(function) or (
        identity_lowering(kernel) if kernel in FORMULAS.keys() - PRICED_BY_ATTRIBUTES else None
    )


def operator_name(name: str) -> str:
    """Return `aten.add` for `torch.ops.aten.add.Tensor`, and an empty string for a name that is not an operator's."""
    space, _, rest = name.partition("torch.ops.")
    return "" if space else ".".join(rest.split(".")[:2])


def functional_name(op: str) -> str:
    """Return the name of the functional variant: `relu` for `relu_`."""
    return op if op.startswith("_") else op.removesuffix("_")
