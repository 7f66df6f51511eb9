"""Formulas: a kernel's shapes, and the few attributes that matter → MACs; None if shapes do not determine them.

    forward   products, convolutions, attention, recurrent layers, quantized and sparse products
    backward  the same products, once for each gradient that is required

A kernel's `inputs` hold the shapes of its tensor arguments, in the order of its schema; arguments that were not passed
are missing from the list. Each docstring names the shapes that its formula expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from archscope.trace import Kernel, Shape

Formula = Callable[[Kernel], int | None]


# ------------------------------------------------------------ products
def matrix_product(kernel: Kernel) -> int | None:
    """Return the MACs of (…, m, k) × (…, k, n) or × (k). The factors are the last inputs, after what is added to them.

    A sparse factor costs its stored elements; the cost of two sparse factors does not follow from their shapes.
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
    """Return the MACs of a matrix product; None if no attribute says how many elements the sparse factor stores."""
    return matrix_product(kernel) if "stored" in dict(kernel.attributes) else None


def sampled_product(kernel: Kernel) -> int | None:
    """Return the MACs of (m, k) × (k, n), computed only at the elements that the sparse first input stores: k for
    each."""
    stored = dict(kernel.attributes).get("stored")
    return stored[0] * kernel.inputs[-2][-1] if isinstance(stored, tuple) and stored[0] is not None else None


def scaled_product(kernel: Kernel) -> int:
    """Return the MACs of (m, k) × (k, n), where scales and a bias follow the factors."""
    left, right = kernel.inputs[:2]
    return prod(left) * right[-1]


def grouped_product(kernel: Kernel) -> int:
    """Return the MACs of (tokens, k) × (g, k, n), one expert per token; groups may also divide k of both, or n."""
    left, right = kernel.inputs[:2]
    return prod(left if len(right) == 3 else left[-2:]) * right[-1]


def packed_product(kernel: Kernel) -> int:
    """Return the MACs of a product with packed weights: each output element sums as many products as x has columns."""
    return prod(kernel.outputs[0]) * kernel.inputs[0][-1]


def semi_structured_product(kernel: Kernel) -> int:
    """Return the MACs of a 2:4 sparse (m, k/2), with its metadata, × (k, n): two of four elements are stored."""
    return prod(kernel.inputs[0]) * kernel.inputs[2][-1]


def semi_structured_linear(kernel: Kernel) -> int:
    """Return the MACs of x (…, k) × a 2:4 sparse weight (n, k/2): two of four elements are stored."""
    return prod(kernel.inputs[0][:-1]) * prod(kernel.inputs[1])


def foreach_products(kernel: Kernel) -> int:
    """Return the MACs of as many products as there are pairs: all left factors (m, k), then all right ones (k, n)."""
    half = len(kernel.inputs) // 2
    pairs = zip(kernel.inputs[:half], kernel.inputs[half:], strict=True)
    return sum(prod(left) * right[-1] for left, right in pairs)


def euclidean_distances(kernel: Kernel) -> int:
    """Return the MACs of |x|² - 2xy + |y|² for (…, P, M) and (…, R, M), one product over M + 2 columns."""
    left, right = kernel.inputs[:2]
    return prod(kernel.outputs[0]) * (left[-1] + 2) if right else 0


def affine_grid(kernel: Kernel) -> int:
    """Return the MACs of each grid point, in homogeneous coordinates, times its image's matrix (2 × 3 or 3 × 4)."""
    return prod(kernel.outputs[0]) * kernel.inputs[0][-1]


def trilinear(kernel: Kernel) -> int:
    """Return the MACs of Σ a·b·c, one for each point of the factors' common index space (`nn.Bilinear`: N·out·in1·in2).

    The attributes expand1, expand2 and expand3 say where each factor gets an axis of size 1.
    """
    attributes = dict(kernel.attributes)
    factors = [insert_unit_axes(shape, attributes[f"expand{n}"]) for n, shape in enumerate(kernel.inputs[:3], 1)]
    return prod(max(axis) for axis in zip(*factors, strict=True))


def insert_unit_axes(shape: Shape, axes: object) -> Shape:
    """Return `shape` with an axis of size 1 inserted at each of `axes`."""
    assert isinstance(axes, tuple)
    out = list(shape)
    for axis in axes:
        out.insert(axis, 1)
    return tuple(out)


def triangular_solve(kernel: Kernel) -> int:
    """Return the MACs of a triangular (…, n, n) system with m right-hand sides.

    Each of the n steps subtracts the known products, and divides by the diagonal element unless that is 1.
    """
    size, solved = max(kernel.inputs, key=lambda shape: shape[-1] == shape[-2])[-1], prod(kernel.outputs[0])
    return solved * (size - 1) // 2 + (0 if kernel.get("unitriangular") else solved)


# ------------------------------------------------------------ convolutions
def convolution(kernel: Kernel) -> int | None:
    """Return the MACs of a convolution: each output element sums in/groups × kernel products.

    The weight is (out, in/groups, *kernel). Transposed, each input element contributes out/groups × kernel products,
    and the weight is (in, out/groups, *kernel). None if the weight is packed in an object without a shape.
    """
    if len(kernel.inputs) < 2:
        return None
    transposed = dict(kernel.attributes).get("transposed", False)
    return prod(kernel.inputs[0] if transposed else kernel.outputs[0]) * prod(kernel.inputs[1][1:])


def transposed_convolution(kernel: Kernel) -> int | None:
    """Return the MACs of input elements × out/groups × kernel; the weight is (in, out/groups, *kernel)."""
    return prod(kernel.inputs[0]) * prod(kernel.inputs[1][1:]) if len(kernel.inputs) > 1 else None


def fused_convolution(kernel: Kernel) -> int:
    """Return the MACs of a convolution that may add a value: its weight is the last input of the output's rank."""
    return prod(kernel.outputs[0]) * prod(inputs_of_output_rank(kernel)[-1][1:])


def scaled_convolution(kernel: Kernel) -> int:
    """Return the MACs of a convolution with scales: its weight is the second input of the output's rank."""
    return prod(kernel.outputs[0]) * prod(inputs_of_output_rank(kernel)[1][1:])


def inputs_of_output_rank(kernel: Kernel) -> list[Shape]:
    return [shape for shape in kernel.inputs if len(shape) == len(kernel.outputs[0])]


def tbc_convolution(kernel: Kernel) -> int:
    """Return the MACs of `conv_tbc`, weight (kernel, in, out): each output element sums kernel × in products."""
    return prod(kernel.outputs[0]) * prod(kernel.inputs[1][:2])


# ------------------------------------------------------------ attention
def attention(kernel: Kernel) -> int:
    """Return the MACs of two products per head: (L, E) × (E, S), then (L, S) × (S, Ev). Causal masks do not halve them.

    q is (…, L, E), k (…, S, E), v (…, S, Ev). The batch is the output's, so with grouped queries each head of k and v
    counts once per query head.
    """
    query, key, value = kernel.inputs[:3]
    return prod(kernel.outputs[0][:-1]) * key[-2] * (query[-1] + value[-1])


def flash_attention(kernel: Kernel) -> int | None:
    """Return the MACs of attention over q (B, L, H, E), k (B, S, H, E), v (B, S, H, Ev).

    None for packed sequences, whose shape is (tokens, H, E), and for keys in pages.
    """
    return flash_layout_macs(*kernel.inputs[:3])


def efficient_attention(kernel: Kernel) -> int | None:
    """Return the MACs of flash attention; None for packed sequences, which have their bounds (1-d) among the inputs."""
    return None if has_sequence_bounds(kernel.inputs) else flash_layout_macs(*kernel.inputs[:3])


def preallocated_attention(kernel: Kernel) -> int | None:
    """Return the MACs of flash attention whose first input is its output, allocated beforehand."""
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
    """Return the MACs of four products: the gradients of v, of the scores, of q and of k. Recomputing scores is free.

    The first input is the output's gradient, then q, k, v.
    """
    gradient, query, key, value = kernel.inputs[:4]
    return 2 * prod(gradient[:-1]) * key[-2] * (query[-1] + value[-1])


def flash_attention_backward(kernel: Kernel) -> int | None:
    """Return the MACs of flash attention's backward pass, (B, L, H, E); a further axis may be a random state's."""
    return twice(flash_layout_macs(*kernel.inputs[1:4]))


def efficient_attention_backward(kernel: Kernel) -> int | None:
    """Return the MACs of efficient attention's backward pass; None for packed sequences."""
    return None if has_sequence_bounds(kernel.inputs) else twice(flash_layout_macs(*kernel.inputs[1:4]))


def multi_head_attention(kernel: Kernel) -> int:
    """Return the MACs for q (B, L, D), k and v (B, S, D), packed weight (3·D, D), its bias, output weight (out, D)."""
    query, key, value, weight, _, out = kernel.inputs[:6]
    batch, length, width = query
    inner = weight[0] // 3
    projected = (length + key[1] + value[1]) * width * inner + length * prod(out)
    return batch * (projected + length * key[1] * 2 * inner)


def encoder_layer(kernel: Kernel) -> int:
    """Return the MACs for x (B, L, D) and the weights: packed at 1, output at 3, feed-forward at 9 and 11."""
    batch, length, width = kernel.inputs[0]
    weights = sum(prod(kernel.inputs[place]) for place in (1, 3, 9, 11))
    return batch * length * (weights + 2 * length * width)


# ------------------------------------------------------------ recurrent layers
def rnn(kernel: Kernel) -> int:
    """Return the MACs of each token (…, features) times each weight matrix of all layers; states have 3 axes."""
    tokens = prod(kernel.inputs[0][:-1])
    return tokens * sum(prod(shape) for shape in kernel.inputs[1:] if len(shape) == 2)


def rnn_layer(kernel: Kernel) -> int:
    """Return the MACs of one layer in one direction; inputs: tokens, input weight, state weight."""
    tokens = prod(kernel.inputs[0][:-1])
    return tokens * (prod(kernel.inputs[1]) + prod(kernel.inputs[2]))


# ------------------------------------------------------------ backward
def gradient_count(kernel: Kernel, name: str = "output_mask", *, gradients: int = 2) -> int:
    """Return how many gradients with products are required: of the input and of the weight, never of the bias."""
    mask = dict(kernel.attributes).get(name)
    return sum(map(bool, mask[:gradients])) if isinstance(mask, tuple) else gradients


def convolution_backward(kernel: Kernel) -> int:
    """Return the MACs of the convolution, once per gradient. Inputs: gradient, input, weight."""
    gradient, inputs, weight = kernel.inputs[:3]
    transposed = dict(kernel.attributes).get("transposed", False)
    return gradient_count(kernel) * prod(inputs if transposed else gradient) * prod(weight[1:])


def swapped_convolution_backward(kernel: Kernel) -> int:
    """Return the MACs of the convolution, once per gradient. Inputs: input, gradient, weight."""
    return gradient_count(kernel) * prod(kernel.inputs[1]) * prod(kernel.inputs[2][1:])


def swapped_transposed_backward(kernel: Kernel) -> int:
    """Return the MACs of a transposed convolution, once per gradient. Inputs: input, gradient, weight."""
    return gradient_count(kernel) * prod(kernel.inputs[0]) * prod(kernel.inputs[2][1:])


def tbc_convolution_backward(kernel: Kernel) -> int:
    """Return the MACs of both gradients. Inputs: gradient, input, weight (kernel, in, out)."""
    return 2 * prod(kernel.inputs[0]) * prod(kernel.inputs[2][:2])


def linear_backward(kernel: Kernel) -> int:
    """Return rows × in × out for each gradient. Inputs: input or gradient, then another, then the weight (out, in)."""
    rows = prod(kernel.inputs[0][:-1])
    return gradient_count(kernel) * rows * prod(kernel.inputs[2])


def gradient_product(kernel: Kernel) -> int:
    """Return rows × in × out: gradient (…, out) × weight (out, in), or × input (…, in) for the weight's gradient."""
    return prod(kernel.inputs[0]) * kernel.inputs[1][-1]


def matmul_backward(kernel: Kernel) -> int:
    """Return the MACs of the forward product for each gradient. Inputs: gradient, left (…, m, k), right."""
    gradient, left = kernel.inputs[:2]
    return gradient_count(kernel, "mask") * prod(gradient) * left[-1]


def affine_grid_backward(kernel: Kernel) -> int:
    """Return the MACs of the gradient (N, H, W, 2) times each grid point in homogeneous coordinates."""
    return prod(kernel.inputs[0]) * (kernel.inputs[0][-1] + 1)


def rnn_backward(kernel: Kernel) -> int | None:
    """Return twice the MACs of the layers, less the gradients of their input and first states that are not required.

    Inputs: (steps, batch, features), the weights of each layer and direction, the states. None for packed sequences,
    whose outputs cannot be distinguished from weights by their shapes.
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
    skipped = (
        [macs for macs, required in zip(once, mask, strict=False) if not required] if isinstance(mask, tuple) else []
    )
    return 2 * rnn(kernel) - sum(skipped)


def rnn_layer_backward(kernel: Kernel) -> int:
    """Return twice the MACs of the layer, less the gradients of its input (steps, batch, features) and its first state
    if they are not required: computed step by step, their products would not be made."""
    tokens, batch = prod(kernel.inputs[0][:-1]), kernel.inputs[0][1]
    once = tokens * prod(kernel.inputs[1]), batch * prod(kernel.inputs[2])
    mask = dict(kernel.attributes).get("output_mask")
    skipped = (
        [macs for macs, required in zip(once, mask, strict=True) if not required] if isinstance(mask, tuple) else []
    )
    return 2 * rnn_layer(kernel) - sum(skipped)


def by_kernel_name(formula: Formula, names: str) -> dict[str, Formula]:
    """Return the same formula for each kernel name; names without a namespace are aten's."""
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
"""The formula of each kernel, by its name."""
