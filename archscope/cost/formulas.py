"""Formulas: a kernel's shapes (and the few attributes they need) → multiply-adds; None where shapes do not tell.

    forward   products, convolutions, attention, recurrent layers, quantised and sparse products
    backward  the same products, once for each gradient that is asked for

In a kernel's `inputs` only tensors count, in the order of its schema; what it was not given is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from archscope.trace import Kernel, Shape

Formula = Callable[[Kernel], int | None]


# ------------------------------------------------------------ products
def matrix_product(kernel: Kernel) -> int | None:
    """(…, m, k) × (…, k, n), also with a vector on the right. The factors come last, after what is added to them.

    A sparse factor costs its stored elements; how those of two meet, shapes do not tell.
    """
    left, right = kernel.inputs[-2:]
    stored = dict(kernel.attributes).get("stored")
    if stored is None:
        return prod(left) * column_count(right)
    assert isinstance(stored, tuple)
    first, second = stored[-2:]
    if first is not None and second is not None:
        return None
    if first is not None:
        return int(first) * column_count(right)
    return int(second) * (left[-2] if len(right) > 2 else prod(left[:-1]))


def column_count(right: Shape) -> int:
    return right[-1] if len(right) > 1 else 1


def sparse_product(kernel: Kernel) -> int | None:
    """As a matrix product; None where nothing says how many elements the sparse factor stores."""
    return matrix_product(kernel) if "stored" in dict(kernel.attributes) else None


def sampled_product(kernel: Kernel) -> int | None:
    """The (m, k) × (k, n) product only at the elements that the sparse first input stores: k for each."""
    stored = dict(kernel.attributes).get("stored")
    return stored[0] * kernel.inputs[-2][-1] if isinstance(stored, tuple) and stored[0] is not None else None


def scaled_product(kernel: Kernel) -> int:
    """(m, k) × (k, n) where scales and a bias follow the factors."""
    left, right = kernel.inputs[:2]
    return prod(left) * right[-1]


def grouped_product(kernel: Kernel) -> int:
    """Experts: (tokens, k) × (g, k, n), each token with one; the groups may also part the k of both, or the n."""
    left, right = kernel.inputs[:2]
    return prod(left if len(right) == 3 else left[-2:]) * right[-1]


def packed_product(kernel: Kernel) -> int:
    """A product with packed weights: every element of the output sums as many products as the input is wide."""
    return prod(kernel.outputs[0]) * kernel.inputs[0][-1]


def semi_structured_product(kernel: Kernel) -> int:
    """2:4 sparse (m, k/2) with its metadata × (k, n): two of four elements are stored."""
    return prod(kernel.inputs[0]) * kernel.inputs[2][-1]


def semi_structured_linear(kernel: Kernel) -> int:
    """x (…, k) × a 2:4 sparse weight (n, k/2): two of four elements are stored."""
    return prod(kernel.inputs[0][:-1]) * prod(kernel.inputs[1])


def foreach_products(kernel: Kernel) -> int:
    """Lefts (m, k), then as many rights (k, n)."""
    half = len(kernel.inputs) // 2
    pairs = zip(kernel.inputs[:half], kernel.inputs[half:], strict=True)
    return sum(prod(left) * right[-1] for left, right in pairs)


def euclidean_distances(kernel: Kernel) -> int:
    """(…, P, M) and (…, R, M) as |x|² - 2xy + |y|²: one product over M + 2, with the squares and ones beside."""
    left, right = kernel.inputs[:2]
    return prod(kernel.outputs[0]) * (left[-1] + 2) if right else 0


def affine_grid(kernel: Kernel) -> int:
    """Every point of the grid, with a one beside it, is multiplied by its image's matrix (2 × 3 or 3 × 4)."""
    return prod(kernel.outputs[0]) * kernel.inputs[0][-1]


def trilinear(kernel: Kernel) -> int:
    """Σ a·b·c over the three factors' common index space, one multiply-add per point (`nn.Bilinear`: N·out·in1·in2).

    The attributes expand1, expand2, expand3 say where each factor has an axis of one.
    """
    attributes = dict(kernel.attributes)
    factors = [insert_unit_axes(shape, attributes[f"expand{n}"]) for n, shape in enumerate(kernel.inputs[:3], 1)]
    return prod(max(axis) for axis in zip(*factors, strict=True))


def insert_unit_axes(shape: Shape, axes: object) -> Shape:
    """`shape` with an axis of one inserted at each of `axes`."""
    assert isinstance(axes, tuple)
    out = list(shape)
    for axis in axes:
        out.insert(axis, 1)
    return tuple(out)


def triangular_solve(kernel: Kernel) -> int:
    """A triangular (…, n, n) against m columns or rows: each of n steps subtracts what is known, and divides by the
    diagonal where that is not one."""
    size, solved = max(kernel.inputs, key=lambda shape: shape[-1] == shape[-2])[-1], prod(kernel.outputs[0])
    return solved * (size - 1) // 2 + (0 if kernel.get("unitriangular") else solved)


# ------------------------------------------------------------ convolutions
def convolution(kernel: Kernel) -> int | None:
    """Every output element sums in/groups × kernel products: the weight is (out, in/groups, *kernel).

    Transposed: every input element is spread over out/groups × kernel: the weight is (in, out/groups, *kernel).
    None where the weight is packed away.
    """
    if len(kernel.inputs) < 2:
        return None
    transposed = dict(kernel.attributes).get("transposed", False)
    return prod(kernel.inputs[0] if transposed else kernel.outputs[0]) * prod(kernel.inputs[1][1:])


def transposed_convolution(kernel: Kernel) -> int | None:
    """Every input element is spread over out/groups × kernel: the weight is (in, out/groups, *kernel)."""
    return prod(kernel.inputs[0]) * prod(kernel.inputs[1][1:]) if len(kernel.inputs) > 1 else None


def fused_convolution(kernel: Kernel) -> int:
    """A convolution that may add another value: its weight is the last input of the output's rank."""
    return prod(kernel.outputs[0]) * prod(inputs_of_output_rank(kernel)[-1][1:])


def scaled_convolution(kernel: Kernel) -> int:
    """A convolution with scales among its inputs: its weight is the second input of the output's rank."""
    return prod(kernel.outputs[0]) * prod(inputs_of_output_rank(kernel)[1][1:])


def inputs_of_output_rank(kernel: Kernel) -> list[Shape]:
    return [shape for shape in kernel.inputs if len(shape) == len(kernel.outputs[0])]


def tbc_convolution(kernel: Kernel) -> int:
    """conv_tbc: the weight is (kernel, in, out); every output element sums kernel × in products."""
    return prod(kernel.outputs[0]) * prod(kernel.inputs[1][:2])


# ------------------------------------------------------------ attention
def attention(kernel: Kernel) -> int:
    """Two products per head: (L, E) × (E, S), then (L, S) × (S, Ev). Causal masks do not halve them.

    q is (…, L, E), k (…, S, E), v (…, S, Ev). The batch is the output's: grouped heads of k and v
    count once per query head.
    """
    query, key, value = kernel.inputs[:3]
    return prod(kernel.outputs[0][:-1]) * key[-2] * (query[-1] + value[-1])


def flash_attention(kernel: Kernel) -> int | None:
    """Attention over q (B, L, H, E), k (B, S, H, E), v (B, S, H, Ev); None for packed sequences, (tokens, H, E), and
    for keys in pages."""
    return flash_layout_macs(*kernel.inputs[:3])


def efficient_attention(kernel: Kernel) -> int | None:
    """As flash attention; packed sequences lie in one batch, and their bounds (one axis) among the inputs."""
    return None if has_sequence_bounds(kernel.inputs) else flash_layout_macs(*kernel.inputs[:3])


def preallocated_attention(kernel: Kernel) -> int | None:
    """Flash attention that is handed its output, which comes first."""
    return flash_layout_macs(*kernel.inputs[1:4])


def flash_layout_macs(query: Shape, key: Shape, value: Shape) -> int | None:
    if len(query) < 4 or key[0] != query[0]:
        return None
    return prod(query[:-1]) * key[1] * (query[-1] + value[-1])


def has_sequence_bounds(inputs: Sequence[Shape]) -> bool:
    return any(len(shape) == 1 and shape[0] > 1 for shape in inputs)


def twice(macs: int | None) -> int | None:
    return None if macs is None else 2 * macs


def attention_backward(kernel: Kernel) -> int:
    """Four products: the gradients of v, of the scores, of q and of k. Scores that are worked out anew are not counted.

    The output's gradient comes first, then q, k, v.
    """
    gradient, query, key, value = kernel.inputs[:4]
    return 2 * prod(gradient[:-1]) * key[-2] * (query[-1] + value[-1])


def flash_attention_backward(kernel: Kernel) -> int | None:
    """As attention's backward, in the layout (B, L, H, E); one axis more may be a random state's."""
    return twice(flash_layout_macs(*kernel.inputs[1:4]))


def efficient_attention_backward(kernel: Kernel) -> int | None:
    """As flash attention's; None for packed sequences."""
    return None if has_sequence_bounds(kernel.inputs) else twice(flash_layout_macs(*kernel.inputs[1:4]))


def multi_head_attention(kernel: Kernel) -> int:
    """q (B, L, D), k and v (B, S, D), packed weight (3·D, D), its bias, output weight (out, D)."""
    query, key, value, weight, _, out = kernel.inputs[:6]
    batch, length, width = query
    inner = weight[0] // 3
    projected = (length + key[1] + value[1]) * width * inner + length * prod(out)
    return batch * (projected + length * key[1] * 2 * inner)


def encoder_layer(kernel: Kernel) -> int:
    """x (B, L, D); packed weight at 1, output weight at 3, the feed-forward weights at 9 and 11."""
    batch, length, width = kernel.inputs[0]
    weights = sum(prod(kernel.inputs[place]) for place in (1, 3, 9, 11))
    return batch * length * (weights + 2 * length * width)


# ------------------------------------------------------------ recurrent layers
def rnn(kernel: Kernel) -> int:
    """Every token (…, features) meets every weight matrix of all layers and directions once; states have 3 axes."""
    tokens = prod(kernel.inputs[0][:-1])
    return tokens * sum(prod(shape) for shape in kernel.inputs[1:] if len(shape) == 2)


def rnn_layer(kernel: Kernel) -> int:
    """One layer and direction: the tokens, then the weights of input and state."""
    tokens = prod(kernel.inputs[0][:-1])
    return tokens * (prod(kernel.inputs[1]) + prod(kernel.inputs[2]))


# ------------------------------------------------------------ backward
def gradient_count(kernel: Kernel, name: str = "output_mask", *, gradients: int = 2) -> int:
    """How many gradients by products are asked for: of the input and of the weight, never of the bias."""
    mask = dict(kernel.attributes).get(name)
    return sum(map(bool, mask[:gradients])) if isinstance(mask, tuple) else gradients


def convolution_backward(kernel: Kernel) -> int:
    """The gradients of input and weight cost what the convolution did, each. Inputs: gradient, input, weight."""
    gradient, inputs, weight = kernel.inputs[:3]
    transposed = dict(kernel.attributes).get("transposed", False)
    return gradient_count(kernel) * prod(inputs if transposed else gradient) * prod(weight[1:])


def swapped_convolution_backward(kernel: Kernel) -> int:
    """Inputs: input, gradient, weight."""
    return gradient_count(kernel) * prod(kernel.inputs[1]) * prod(kernel.inputs[2][1:])


def swapped_transposed_backward(kernel: Kernel) -> int:
    """Inputs: input, gradient, weight of a transposed convolution."""
    return gradient_count(kernel) * prod(kernel.inputs[0]) * prod(kernel.inputs[2][1:])


def tbc_convolution_backward(kernel: Kernel) -> int:
    """Inputs: gradient, input, weight (kernel, in, out)."""
    return 2 * prod(kernel.inputs[0]) * prod(kernel.inputs[2][:2])


def linear_backward(kernel: Kernel) -> int:
    """Inputs: input (or what gradient it has first), and the weight last: rows × in × out for each gradient."""
    rows = prod(kernel.inputs[0][:-1])
    return gradient_count(kernel) * rows * prod(kernel.inputs[2])


def gradient_product(kernel: Kernel) -> int:
    """gradient (…, out) × weight (out, in), or × input (…, in) for the weight's gradient: rows × in × out."""
    return prod(kernel.inputs[0]) * kernel.inputs[1][-1]


def matmul_backward(kernel: Kernel) -> int:
    """Inputs: gradient, left (…, m, k), right: each factor's gradient is a product of the forward's size."""
    gradient, left = kernel.inputs[:2]
    return gradient_count(kernel, "mask") * prod(gradient) * left[-1]


def affine_grid_backward(kernel: Kernel) -> int:
    """The gradient (N, H, W, 2) against every point of the grid, with a one beside it."""
    return prod(kernel.inputs[0]) * (kernel.inputs[0][-1] + 1)


def rnn_backward(kernel: Kernel) -> int | None:
    """Twice the layers, but for the gradients of their input and first states where nobody asks for them.

    Inputs: (steps, batch, features), the weights of each layer and direction, the states. None for packed sequences,
    whose outputs look like weights.
    """
    if len(kernel.inputs[0]) != 3:
        return None
    tokens, mask = prod(kernel.inputs[0][:-1]), dict(kernel.attributes).get("output_mask")
    weights = [shape for shape in kernel.inputs[1:] if len(shape) == 2]
    runs, batch, _ = next(shape for shape in kernel.inputs[1:] if len(shape) == 3)
    layers = dict(kernel.attributes).get("num_layers", runs)
    assert isinstance(layers, int)
    each = len(weights) // runs
    once = tokens * sum(map(prod, weights[: each * (runs // layers) : each])), batch * sum(map(prod, weights[1::each]))
    unasked = [macs for macs, asked in zip(once, mask, strict=False) if not asked] if isinstance(mask, tuple) else []
    return 2 * rnn(kernel) - sum(unasked)


def rnn_layer_backward(kernel: Kernel) -> int:
    """Twice the layer, but for the gradients of its input (steps, batch, features) and its first state where nobody
    asks for them: step by step, their products would not be made."""
    tokens, batch = prod(kernel.inputs[0][:-1]), kernel.inputs[0][1]
    once = tokens * prod(kernel.inputs[1]), batch * prod(kernel.inputs[2])
    mask = dict(kernel.attributes).get("output_mask")
    unasked = [macs for macs, asked in zip(once, mask, strict=True) if not asked] if isinstance(mask, tuple) else []
    return 2 * rnn_layer(kernel) - sum(unasked)


def by_kernel_name(formula: Formula, names: str) -> dict[str, Formula]:
    """One formula for kernels by name; aten's are written without it."""
    return {name if "." in name else f"aten.{name}": formula for name in names.split()}


FORMULAS: Mapping[str, Formula] = {
    **by_kernel_name(matrix_product, "mm bmm addmm baddbmm addbmm _addmm_activation _int_mm mv addmv dot vdot"),
    **by_kernel_name(scaled_product, "_scaled_mm _scaled_mm_v2"),
    **by_kernel_name(grouped_product, "_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2"),
    **by_kernel_name(
        packed_product, "linear mkldnn_linear _mixed_dtypes_linear _weight_int8pack_mm _weight_int4pack_mm"
    ),
    **by_kernel_name(packed_product, "_weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros"),
    **by_kernel_name(packed_product, "_dyn_quant_matmul_4bit mkldnn._linear_pointwise onednn.qlinear_pointwise"),
    **by_kernel_name(packed_product, "quantized.linear quantized.linear_relu quantized.linear_dynamic"),
    **by_kernel_name(packed_product, "quantized.linear_relu_dynamic quantized.linear_dynamic_fp16"),
    **by_kernel_name(
        packed_product, "quantized.linear_relu_dynamic_fp16 quantized.linear_leaky_relu quantized.linear_tanh"
    ),
    **by_kernel_name(matrix_product, "quantized.matmul"),
    **by_kernel_name(sparse_product, "_sparse_mm _sparse_addmm _sparse_mm_reduce_impl sspaddmm hspmm"),
    **by_kernel_name(sampled_product, "sparse_sampled_addmm"),
    **by_kernel_name(semi_structured_product, "_sparse_semi_structured_mm"),
    **by_kernel_name(semi_structured_linear, "_sparse_semi_structured_linear"),
    **by_kernel_name(foreach_products, "_foreach_mm"),
    **by_kernel_name(euclidean_distances, "_euclidean_dist"),
    **by_kernel_name(affine_grid, "affine_grid_generator cudnn_affine_grid_generator"),
    **by_kernel_name(trilinear, "_trilinear"),
    **by_kernel_name(triangular_solve, "linalg_solve_triangular triangular_solve"),
    **by_kernel_name(
        convolution, "convolution _convolution convolution_overrideable mkldnn_convolution cudnn_convolution"
    ),
    **by_kernel_name(
        convolution, "cudnn_convolution_relu cudnn_convolution_add_relu _conv_depthwise2d conv_depthwise3d"
    ),
    **by_kernel_name(convolution, "miopen_convolution miopen_convolution_relu miopen_convolution_add_relu"),
    **by_kernel_name(convolution, "miopen_depthwise_convolution quantized.conv3d_dynamic"),
    **by_kernel_name(convolution, "_mps_convolution _slow_conv2d_forward slow_conv3d_forward slow_conv_dilated2d"),
    **by_kernel_name(convolution, "slow_conv_dilated3d _nnpack_spatial_convolution torchvision.deform_conv2d"),
    **by_kernel_name(convolution, "quantized.conv1d quantized.conv1d_relu quantized.conv2d quantized.conv2d_relu"),
    **by_kernel_name(
        convolution, "quantized.conv3d quantized.conv3d_relu quantized.conv1d_dynamic quantized.conv2d_dynamic"
    ),
    **by_kernel_name(fused_convolution, "mkldnn._convolution_pointwise"),
    **by_kernel_name(scaled_convolution, "onednn.qconv_pointwise onednn.qconv1d_pointwise onednn.qconv2d_pointwise"),
    **by_kernel_name(scaled_convolution, "onednn.qconv3d_pointwise"),
    **by_kernel_name(transposed_convolution, "cudnn_convolution_transpose miopen_convolution_transpose"),
    **by_kernel_name(transposed_convolution, "_mps_convolution_transpose slow_conv_transpose2d slow_conv_transpose3d"),
    **by_kernel_name(
        transposed_convolution, "quantized.conv_transpose1d quantized.conv_transpose2d quantized.conv_transpose3d"
    ),
    **by_kernel_name(tbc_convolution, "conv_tbc"),
    **by_kernel_name(attention, "scaled_dot_product_attention _scaled_dot_product_attention_math"),
    **by_kernel_name(attention, "_scaled_dot_product_attention_math_for_mps _scaled_dot_product_flash_attention"),
    **by_kernel_name(attention, "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention"),
    **by_kernel_name(attention, "_scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable"),
    **by_kernel_name(attention, "_triton_scaled_dot_attention higher_order.flex_attention"),
    **by_kernel_name(flash_attention, "_flash_attention_forward"),
    **by_kernel_name(preallocated_attention, "_flash_attention_forward_no_dropout_inplace"),
    **by_kernel_name(efficient_attention, "_efficient_attention_forward"),
    **by_kernel_name(multi_head_attention, "_native_multi_head_attention _triton_multi_head_attention"),
    **by_kernel_name(encoder_layer, "_transformer_encoder_layer_fwd"),
    **by_kernel_name(rnn, "_cudnn_rnn miopen_rnn"),
    **by_kernel_name(rnn_layer, "mkldnn_rnn_layer"),
    **by_kernel_name(
        convolution_backward, "convolution_backward convolution_backward_overrideable _slow_conv2d_backward"
    ),
    **by_kernel_name(swapped_convolution_backward, "mps_convolution_backward"),
    **by_kernel_name(swapped_transposed_backward, "mps_convolution_transpose_backward"),
    **by_kernel_name(tbc_convolution_backward, "conv_tbc_backward"),
    **by_kernel_name(linear_backward, "linear_backward mkldnn_linear_backward"),
    **by_kernel_name(gradient_product, "mkldnn_linear_backward_input mkldnn_linear_backward_weights"),
    **by_kernel_name(matmul_backward, "matmul_backward"),
    **by_kernel_name(affine_grid_backward, "cudnn_affine_grid_generator_backward"),
    **by_kernel_name(attention_backward, "_scaled_dot_product_flash_attention_backward"),
    **by_kernel_name(attention_backward, "_scaled_dot_product_flash_attention_for_cpu_backward"),
    **by_kernel_name(attention_backward, "_scaled_dot_product_efficient_attention_backward"),
    **by_kernel_name(attention_backward, "_scaled_dot_product_cudnn_attention_backward"),
    **by_kernel_name(attention_backward, "_scaled_dot_product_fused_attention_overrideable_backward"),
    **by_kernel_name(flash_attention_backward, "_flash_attention_backward"),
    **by_kernel_name(efficient_attention_backward, "_efficient_attention_backward"),
    **by_kernel_name(rnn_layer_backward, "mkldnn_rnn_layer_backward"),
    **by_kernel_name(rnn_backward, "_cudnn_rnn_backward miopen_rnn_backward"),
}
"""Kernel → its formula."""
