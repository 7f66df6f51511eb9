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
        return prod(left) * columns(right)
    assert isinstance(stored, tuple)
    first, second = stored[-2:]
    if first is not None and second is not None:
        return None
    if first is not None:
        return int(first) * columns(right)
    return int(second) * (left[-2] if len(right) > 2 else prod(left[:-1]))


def columns(right: Shape) -> int:
    return right[-1] if len(right) > 1 else 1


def sparse_product(kernel: Kernel) -> int | None:
    """As a matrix product; None where nothing says how many elements the sparse factor stores."""
    return matrix_product(kernel) if "stored" in dict(kernel.attributes) else None


def sampled_product(kernel: Kernel) -> int | None:
    """The (m, k) × (k, n) product only at the elements that the sparse first input stores: k for each."""
    stored = dict(kernel.attributes).get("stored")
    return stored[0] * kernel.inputs[-2][-1] if isinstance(stored, tuple) and stored[0] is not None else None


def leading_product(kernel: Kernel) -> int:
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


def compressed_product(kernel: Kernel) -> int:
    """2:4 sparse (m, k/2) with its metadata × (k, n): two of four elements are stored."""
    return prod(kernel.inputs[0]) * kernel.inputs[2][-1]


def compressed_linear(kernel: Kernel) -> int:
    """x (…, k) × a 2:4 sparse weight (n, k/2): two of four elements are stored."""
    return prod(kernel.inputs[0][:-1]) * prod(kernel.inputs[1])


def listed_products(kernel: Kernel) -> int:
    """Lefts (m, k), then as many rights (k, n)."""
    half = len(kernel.inputs) // 2
    pairs = zip(kernel.inputs[:half], kernel.inputs[half:], strict=True)
    return sum(prod(left) * right[-1] for left, right in pairs)


def distances(kernel: Kernel) -> int:
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
    factors = [widened(shape, attributes[f"expand{n}"]) for n, shape in enumerate(kernel.inputs[:3], 1)]
    return prod(max(axis) for axis in zip(*factors, strict=True))


def widened(shape: Shape, axes: object) -> Shape:
    """`shape` with an axis of one inserted at each of `axes`."""
    assert isinstance(axes, tuple)
    out = list(shape)
    for axis in axes:
        out.insert(axis, 1)
    return tuple(out)


def triangular_solution(kernel: Kernel) -> int:
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
    return prod(kernel.outputs[0]) * prod(of_rank(kernel)[-1][1:])


def scaled_convolution(kernel: Kernel) -> int:
    """A convolution with scales among its inputs: its weight is the second input of the output's rank."""
    return prod(kernel.outputs[0]) * prod(of_rank(kernel)[1][1:])


def of_rank(kernel: Kernel) -> list[Shape]:
    return [shape for shape in kernel.inputs if len(shape) == len(kernel.outputs[0])]


def time_convolution(kernel: Kernel) -> int:
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
    return rowwise(*kernel.inputs[:3])


def long_attention(kernel: Kernel) -> int | None:
    """As flash attention; packed sequences lie in one batch, and their bounds (one axis) among the inputs."""
    return None if bounded(kernel.inputs) else rowwise(*kernel.inputs[:3])


def written_attention(kernel: Kernel) -> int | None:
    """Flash attention that is handed its output, which comes first."""
    return rowwise(*kernel.inputs[1:4])


def rowwise(query: Shape, key: Shape, value: Shape) -> int | None:
    if len(query) < 4 or key[0] != query[0]:
        return None
    return prod(query[:-1]) * key[1] * (query[-1] + value[-1])


def bounded(inputs: Sequence[Shape]) -> bool:
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
    return twice(rowwise(*kernel.inputs[1:4]))


def long_attention_backward(kernel: Kernel) -> int | None:
    """As flash attention's; None for packed sequences."""
    return None if bounded(kernel.inputs) else twice(rowwise(*kernel.inputs[1:4]))


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
def recurrent(kernel: Kernel) -> int:
    """Every token (…, features) meets every weight matrix of all layers and directions once; states have 3 axes."""
    tokens = prod(kernel.inputs[0][:-1])
    return tokens * sum(prod(shape) for shape in kernel.inputs[1:] if len(shape) == 2)


def recurrent_layer(kernel: Kernel) -> int:
    """One layer and direction: the tokens, then the weights of input and state."""
    tokens = prod(kernel.inputs[0][:-1])
    return tokens * (prod(kernel.inputs[1]) + prod(kernel.inputs[2]))


# ------------------------------------------------------------ backward
def masked(kernel: Kernel, name: str = "output_mask", *, gradients: int = 2) -> int:
    """How many gradients by products are asked for: of the input and of the weight, never of the bias."""
    mask = dict(kernel.attributes).get(name)
    return sum(map(bool, mask[:gradients])) if isinstance(mask, tuple) else gradients


def convolution_backward(kernel: Kernel) -> int:
    """The gradients of input and weight cost what the convolution did, each. Inputs: gradient, input, weight."""
    gradient, inputs, weight = kernel.inputs[:3]
    transposed = dict(kernel.attributes).get("transposed", False)
    return masked(kernel) * prod(inputs if transposed else gradient) * prod(weight[1:])


def swapped_convolution_backward(kernel: Kernel) -> int:
    """Inputs: input, gradient, weight."""
    return masked(kernel) * prod(kernel.inputs[1]) * prod(kernel.inputs[2][1:])


def swapped_transposed_backward(kernel: Kernel) -> int:
    """Inputs: input, gradient, weight of a transposed convolution."""
    return masked(kernel) * prod(kernel.inputs[0]) * prod(kernel.inputs[2][1:])


def time_convolution_backward(kernel: Kernel) -> int:
    """Inputs: gradient, input, weight (kernel, in, out)."""
    return 2 * prod(kernel.inputs[0]) * prod(kernel.inputs[2][:2])


def linear_backward(kernel: Kernel) -> int:
    """Inputs: input (or what gradient it has first), and the weight last: rows × in × out for each gradient."""
    rows = prod(kernel.inputs[0][:-1])
    return masked(kernel) * rows * prod(kernel.inputs[2])


def gradient_product(kernel: Kernel) -> int:
    """gradient (…, out) × weight (out, in), or × input (…, in) for the weight's gradient: rows × in × out."""
    return prod(kernel.inputs[0]) * kernel.inputs[1][-1]


def matmul_backward(kernel: Kernel) -> int:
    """Inputs: gradient, left (…, m, k), right: each factor's gradient is a product of the forward's size."""
    gradient, left = kernel.inputs[:2]
    return masked(kernel, "mask") * prod(gradient) * left[-1]


def affine_grid_backward(kernel: Kernel) -> int:
    """The gradient (N, H, W, 2) against every point of the grid, with a one beside it."""
    return prod(kernel.inputs[0]) * (kernel.inputs[0][-1] + 1)


def recurrent_backward(kernel: Kernel) -> int | None:
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
    return 2 * recurrent(kernel) - sum(unasked)


def recurrent_layer_backward(kernel: Kernel) -> int:
    """Twice the layer, but for the gradients of its input (steps, batch, features) and its first state where nobody
    asks for them: step by step, their products would not be made."""
    tokens, batch = prod(kernel.inputs[0][:-1]), kernel.inputs[0][1]
    once = tokens * prod(kernel.inputs[1]), batch * prod(kernel.inputs[2])
    mask = dict(kernel.attributes).get("output_mask")
    unasked = [macs for macs, asked in zip(once, mask, strict=True) if not asked] if isinstance(mask, tuple) else []
    return 2 * recurrent_layer(kernel) - sum(unasked)


def named(formula: Formula, names: str) -> dict[str, Formula]:
    """One formula for kernels by name; aten's are written without it."""
    return {name if "." in name else f"aten.{name}": formula for name in names.split()}


FORMULAS: Mapping[str, Formula] = {
    **named(matrix_product, "mm bmm addmm baddbmm addbmm _addmm_activation _int_mm mv addmv dot vdot"),
    **named(leading_product, "_scaled_mm _scaled_mm_v2"),
    **named(grouped_product, "_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2"),
    **named(packed_product, "linear mkldnn_linear _mixed_dtypes_linear _weight_int8pack_mm _weight_int4pack_mm"),
    **named(packed_product, "_weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros"),
    **named(packed_product, "_dyn_quant_matmul_4bit mkldnn._linear_pointwise onednn.qlinear_pointwise"),
    **named(packed_product, "quantized.linear quantized.linear_relu quantized.linear_dynamic"),
    **named(packed_product, "quantized.linear_relu_dynamic quantized.linear_dynamic_fp16"),
    **named(packed_product, "quantized.linear_relu_dynamic_fp16 quantized.linear_leaky_relu quantized.linear_tanh"),
    **named(matrix_product, "quantized.matmul"),
    **named(sparse_product, "_sparse_mm _sparse_addmm _sparse_mm_reduce_impl sspaddmm hspmm"),
    **named(sampled_product, "sparse_sampled_addmm"),
    **named(compressed_product, "_sparse_semi_structured_mm"),
    **named(compressed_linear, "_sparse_semi_structured_linear"),
    **named(listed_products, "_foreach_mm"),
    **named(distances, "_euclidean_dist"),
    **named(affine_grid, "affine_grid_generator cudnn_affine_grid_generator"),
    **named(trilinear, "_trilinear"),
    **named(triangular_solution, "linalg_solve_triangular triangular_solve"),
    **named(convolution, "convolution _convolution convolution_overrideable mkldnn_convolution cudnn_convolution"),
    **named(convolution, "cudnn_convolution_relu cudnn_convolution_add_relu _conv_depthwise2d conv_depthwise3d"),
    **named(convolution, "miopen_convolution miopen_convolution_relu miopen_convolution_add_relu"),
    **named(convolution, "miopen_depthwise_convolution quantized.conv3d_dynamic"),
    **named(convolution, "_mps_convolution _slow_conv2d_forward slow_conv3d_forward slow_conv_dilated2d"),
    **named(convolution, "slow_conv_dilated3d _nnpack_spatial_convolution torchvision.deform_conv2d"),
    **named(convolution, "quantized.conv1d quantized.conv1d_relu quantized.conv2d quantized.conv2d_relu"),
    **named(convolution, "quantized.conv3d quantized.conv3d_relu quantized.conv1d_dynamic quantized.conv2d_dynamic"),
    **named(fused_convolution, "mkldnn._convolution_pointwise"),
    **named(scaled_convolution, "onednn.qconv_pointwise onednn.qconv1d_pointwise onednn.qconv2d_pointwise"),
    **named(scaled_convolution, "onednn.qconv3d_pointwise"),
    **named(transposed_convolution, "cudnn_convolution_transpose miopen_convolution_transpose"),
    **named(transposed_convolution, "_mps_convolution_transpose slow_conv_transpose2d slow_conv_transpose3d"),
    **named(transposed_convolution, "quantized.conv_transpose1d quantized.conv_transpose2d quantized.conv_transpose3d"),
    **named(time_convolution, "conv_tbc"),
    **named(attention, "scaled_dot_product_attention _scaled_dot_product_attention_math"),
    **named(attention, "_scaled_dot_product_attention_math_for_mps _scaled_dot_product_flash_attention"),
    **named(attention, "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention"),
    **named(attention, "_scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable"),
    **named(attention, "_triton_scaled_dot_attention higher_order.flex_attention"),
    **named(flash_attention, "_flash_attention_forward"),
    **named(written_attention, "_flash_attention_forward_no_dropout_inplace"),
    **named(long_attention, "_efficient_attention_forward"),
    **named(multi_head_attention, "_native_multi_head_attention _triton_multi_head_attention"),
    **named(encoder_layer, "_transformer_encoder_layer_fwd"),
    **named(recurrent, "_cudnn_rnn miopen_rnn"),
    **named(recurrent_layer, "mkldnn_rnn_layer"),
    **named(convolution_backward, "convolution_backward convolution_backward_overrideable _slow_conv2d_backward"),
    **named(swapped_convolution_backward, "mps_convolution_backward"),
    **named(swapped_transposed_backward, "mps_convolution_transpose_backward"),
    **named(time_convolution_backward, "conv_tbc_backward"),
    **named(linear_backward, "linear_backward mkldnn_linear_backward"),
    **named(gradient_product, "mkldnn_linear_backward_input mkldnn_linear_backward_weights"),
    **named(matmul_backward, "matmul_backward"),
    **named(affine_grid_backward, "cudnn_affine_grid_generator_backward"),
    **named(attention_backward, "_scaled_dot_product_flash_attention_backward"),
    **named(attention_backward, "_scaled_dot_product_flash_attention_for_cpu_backward"),
    **named(attention_backward, "_scaled_dot_product_efficient_attention_backward"),
    **named(attention_backward, "_scaled_dot_product_cudnn_attention_backward"),
    **named(attention_backward, "_scaled_dot_product_fused_attention_overrideable_backward"),
    **named(flash_attention_backward, "_flash_attention_backward"),
    **named(long_attention_backward, "_efficient_attention_backward"),
    **named(recurrent_layer_backward, "mkldnn_rnn_layer_backward"),
    **named(recurrent_backward, "_cudnn_rnn_backward miopen_rnn_backward"),
}
"""Kernel → its formula."""
