"""What it costs: kernels' shapes → formulas → multiply-adds; a row's values → bytes. No torch.

    Row ─ kernels ─ priced by a formula, free, or unpriced ─→ Cost ─ sum ─→ Cost

Convention: macs are the multiply-adds of matrix products and convolutions, and nothing else. Biases, norms, pooling,
activations and interpolation are free. FLOPs = 2 × MACs. Bytes are a row's own traffic: every distinct input read once,
every output written once; a view moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from archscope.trace import Kernel, Row, Shape

Formula = Callable[[Kernel], int]


@dataclass(frozen=True)
class Cost:
    """Integers that add. `known`: multiply-adds of everything priced; `unpriced`: names of kernels without a price."""

    known: int = 0
    read: int = 0
    written: int = 0
    unpriced: tuple[str, ...] = ()

    @property
    def macs(self) -> int | None:
        """Multiply-adds; None while a kernel is unpriced, for unknown is never zero."""
        return None if self.unpriced else self.known

    @property
    def flops(self) -> int | None:
        """2 × macs; None while a kernel is unpriced."""
        return None if self.unpriced else 2 * self.known

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.known + other.known,
            self.read + other.read,
            self.written + other.written,
            self.unpriced + other.unpriced,
        )


def matrix_product(kernel: Kernel) -> int:
    """(…, m, k) × (…, k, n): each of the m·n results of a batch sums k products. The factors come last (addmm)."""
    left, right = kernel.inputs[-2:]
    return prod(left) * right[-1]


def scaled_product(kernel: Kernel) -> int:
    """(m, k) × (k, n) where scales and a bias follow the factors."""
    left, right = kernel.inputs[:2]
    return prod(left) * right[-1]


def vector_product(kernel: Kernel) -> int:
    """(m, k) × (k) or (k) · (k): one product per element of the first factor."""
    return prod(kernel.inputs[-2])


def convolution(kernel: Kernel) -> int:
    """Every output element sums in/groups × kernel products: the weight is (out, in/groups, *kernel).

    Transposed: every input element is spread over out/groups × kernel: the weight is (in, out/groups, *kernel).
    """
    transposed = dict(kernel.attributes).get("transposed", False)
    return prod(kernel.inputs[0] if transposed else kernel.outputs[0]) * prod(kernel.inputs[1][1:])


def transposed_convolution(kernel: Kernel) -> int:
    """Every input element is spread over out/groups × kernel: the weight is (in, out/groups, *kernel)."""
    return prod(kernel.inputs[0]) * prod(kernel.inputs[1][1:])


def time_convolution(kernel: Kernel) -> int:
    """conv_tbc: the weight is (kernel, in, out); every output element sums kernel × in products."""
    return prod(kernel.outputs[0]) * prod(kernel.inputs[1][:2])


def attention(kernel: Kernel) -> int:
    """Two products per head: (L, E) × (E, S), then (L, S) × (S, Ev). Causal masks do not halve them.

    q is (…, L, E), k (…, S, E), v (…, S, Ev). The batch is the output's: grouped heads of k and v
    count once per query head.
    """
    query, key, value = kernel.inputs[:3]
    out = kernel.outputs[0]
    return prod(out[:-1]) * key[-2] * (query[-1] + value[-1])


def trilinear(kernel: Kernel) -> int:
    """Σ a·b·c over the three factors' common index space, one multiply-add per point (`nn.Bilinear`: N·out·in1·in2).

    The attributes expand1, expand2, expand3 say where each factor has an axis of one.
    """
    attributes = dict(kernel.attributes)
    factors = [widened(shape, attributes[f"expand{n}"]) for n, shape in enumerate(kernel.inputs[:3], 1)]
    return prod(max(axis) for axis in zip(*factors, strict=True))


def widened(shape: Shape, axes: object) -> Shape:
    """`shape` with an axis of one inserted at each of `axes`."""
    assert isinstance(axes, tuple)
    out = list(shape)
    for axis in axes:
        out.insert(axis, 1)
    return tuple(out)


FORMULAS: Mapping[str, Formula] = {
    "aten.mm": matrix_product,
    "aten.bmm": matrix_product,
    "aten.addmm": matrix_product,
    "aten.baddbmm": matrix_product,
    "aten.addbmm": matrix_product,
    "aten._addmm_activation": matrix_product,
    "aten._int_mm": matrix_product,
    "aten._scaled_mm": scaled_product,
    "aten._scaled_mm_v2": scaled_product,
    "aten.mv": vector_product,
    "aten.addmv": vector_product,
    "aten.dot": vector_product,
    "aten.vdot": vector_product,
    "aten.convolution": convolution,
    "aten._convolution": convolution,
    "aten.convolution_overrideable": convolution,
    "aten.mkldnn_convolution": convolution,
    "aten.cudnn_convolution": convolution,
    "aten.cudnn_convolution_transpose": transposed_convolution,
    "aten._conv_depthwise2d": convolution,
    "aten.conv_depthwise3d": convolution,
    "aten.conv_tbc": time_convolution,
    "aten._trilinear": trilinear,
    "aten.scaled_dot_product_attention": attention,
    "aten._scaled_dot_product_attention_math": attention,
    "aten._scaled_dot_product_flash_attention": attention,
    "aten._scaled_dot_product_flash_attention_for_cpu": attention,
    "aten._scaled_dot_product_efficient_attention": attention,
    "aten._scaled_dot_product_cudnn_attention": attention,
    "aten._scaled_dot_product_fused_attention_overrideable": attention,
}

FREE_NAMES = """
abs absolute acos acosh add addcdiv addcmul addr angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin
asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil
clamp clamp_max clamp_min clip complex conj conj_physical _conj _conj_physical _neg_view copysign cos cosh deg2rad
digamma div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac frexp
gcd ge greater greater_equal gt heaviside hypot i0 igamma igammac imag isclose isfinite isinf isnan isneginf
isposinf isreal lcm ldexp le lerp less less_equal lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and
logical_not logical_or logical_xor logit lt maximum minimum mul multiply mvlgamma nan_to_num ne neg negative
nextafter not_equal outer ger polar polygamma positive pow rad2deg real reciprocal remainder round rsqrt rsub sgn
sigmoid sign signbit sin sinc sinh sqrt square sub subtract tan tanh true_divide trunc where xlogy __xor__ __and__
__or__ resolve_conj resolve_neg view_as_complex view_as_real linalg_cross cross vander special_airy_ai
special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 special_entr special_erfcx special_expit
special_i0e special_i1 special_i1e special_log_ndtr special_modified_bessel_i0 special_modified_bessel_i1
special_modified_bessel_k0 special_modified_bessel_k1 special_ndtr special_ndtri special_xlog1py special_zeta

celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_sigmoid_forward mish prelu
_prelu_kernel relu relu6 rrelu rrelu_with_noise rrelu_with_noise_functional selu silu softplus softshrink threshold
softmax _softmax _safe_softmax log_softmax _log_softmax

batch_norm _batch_norm_with_update _batch_norm_no_update _batch_norm_impl_index native_batch_norm cudnn_batch_norm
_native_batch_norm_legit _native_batch_norm_legit_no_training _native_batch_norm_legit_functional instance_norm
layer_norm native_layer_norm group_norm native_group_norm rms_norm _fused_rms_norm norm renorm linalg_vector_norm
frobenius_norm norm_except_dim _weight_norm _weight_norm_interface

avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
max_pool3d_with_indices mkldnn_max_pool2d mkldnn_max_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
mkldnn_adaptive_avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d

upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
_upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler grid_sampler_2d grid_sampler_3d im2col col2im
pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle constant_pad_nd pad reflection_pad1d
reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d _pad_circular

all allclose amax amin aminmax any argmax argmin argsort bincount bucketize count_nonzero cummax cummin cumprod
cumsum diff dist equal histc histogram kthvalue logcumsumexp logsumexp max mean median min mode msort nanmean
nanmedian nansum prod quantile nanquantile searchsorted segment_reduce sort std std_mean sum sum_to_size topk trace
trapezoid unique_consecutive unique_dim _unique _unique2 var var_mean isin

alias as_strided chunk contiguous detach diagonal expand expand_as flatten lift lift_fresh movedim moveaxis narrow
permute ravel reshape reshape_as _reshape_alias select set slice split split_with_sizes hsplit vsplit dsplit
tensor_split squeeze swapaxes swapdims t transpose unbind unflatten unfold unsafe_chunk unsafe_split
unsafe_split_with_sizes _unsafe_view unsqueeze view view_as adjoint atleast_1d atleast_2d atleast_3d broadcast_to

block_diag cat _chunk_cat concat concatenate clone column_stack copy _copy_from combinations cartesian_prod diag
diag_embed as_strided_scatter diagonal_scatter dstack flip fliplr flipud hstack meshgrid repeat repeat_interleave
resize resize_as roll rot90 select_scatter slice_scatter stack tile to _to_copy tril triu vstack row_stack type_as
alias_copy as_strided_copy diagonal_copy expand_copy narrow_copy permute_copy select_copy slice_copy split_copy
split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy
_local_scalar_dense item

embedding embedding_renorm embedding_bag _embedding_bag _embedding_bag_forward_only gather index index_add
index_copy index_fill index_put _index_put_impl index_reduce index_select masked_fill masked_scatter masked_select
nonzero nonzero_static argwhere one_hot put scatter scatter_add scatter_reduce take take_along_dim _unsafe_index
_unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate _pack_padded_sequence
_pad_packed_sequence

arange bartlett_window blackman_window empty empty_like empty_permuted empty_strided eye fill full full_like
hamming_window hann_window kaiser_window linspace logspace new_empty new_empty_strided new_full new_ones new_zeros
ones ones_like scalar_tensor tril_indices triu_indices zero zeros zeros_like

alpha_dropout bernoulli cauchy dropout exponential feature_alpha_dropout feature_dropout geometric log_normal
multinomial native_dropout normal poisson rand rand_like randint randint_like randn randn_like random randperm
uniform _fused_dropout _sample_dirichlet _standard_gamma binomial

binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cosine_similarity cross_entropy_loss
ctc_loss _ctc_loss hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss
multilabel_margin_loss multilabel_margin_loss_forward nll_loss nll_loss2d nll_loss2d_forward nll_loss_forward
nll_loss_nd pairwise_distance poisson_nll_loss smooth_l1_loss soft_margin_loss
triplet_margin_loss

_assert_async _linalg_check_errors _functional_assert_async _assert_tensor_metadata
_fake_quantize_learnable_per_tensor_affine
fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask
"""

FREE: frozenset[str] = frozenset("aten." + name for name in FREE_NAMES.split())
"""Aten operators without matrix products, by name; what is neither here nor in FORMULAS is unpriced."""


def prices(
    rows: Sequence[Row], formulas: Mapping[str, Formula] = FORMULAS, *, free: Collection[str] = FREE
) -> tuple[Cost, ...]:
    """The cost of every row; kernels that several rows share are priced once, and rows that cost the same have one."""
    priced: dict[int, tuple[int, tuple[str, ...]]] = {}
    shared: dict[tuple[int, int, int], Cost] = {}
    costs = []
    for row in rows:
        kernels, moved = row.kernels, traffic(row)
        cost = shared.get((id(kernels), *moved))
        if cost is None:
            known, unpriced = priced.get(id(kernels)) or priced.setdefault(id(kernels), worth(kernels, formulas, free))
            cost = shared[id(kernels), *moved] = Cost(known, *moved, unpriced)
        costs.append(cost)
    return tuple(costs)


def price(row: Row, formulas: Mapping[str, Formula] = FORMULAS, *, free: Collection[str] = FREE) -> Cost:
    """The cost of one row: multiply-adds by `formulas` (kernel name → formula), bytes from its values."""
    return prices((row,), formulas, free=free)[0]


def worth(
    kernels: Iterable[Kernel], formulas: Mapping[str, Formula], free: Collection[str]
) -> tuple[int, tuple[str, ...]]:
    """The multiply-adds of kernels, and the names of those without a price."""
    known, unpriced = 0, []
    for kernel in kernels:
        name = spelled(kernel.name, formulas, free)
        if name in formulas:
            known += formulas[name](kernel)
        elif name not in free:
            unpriced.append(kernel.name)
    return known, tuple(unpriced)


def spelled(name: str, formulas: Mapping[str, Formula], free: Collection[str]) -> str:
    """A kernel's name as the tables have it: `aten.add_` costs what `aten.add` does."""
    return name if name in formulas or name in free else name.removesuffix("_")


def traffic(row: Row) -> tuple[int, int]:
    """Bytes read and written: distinct inputs once, outputs once; nothing for a view."""
    if row.view:
        return 0, 0
    read = {operand.value.id: operand.value.bytes for operand in row.inputs}
    return sum(read.values()), sum([value.bytes for value in row.outputs])
