"""Lowerings of quantized layers: torch.ops.quantized.*, whose weights are in packed objects → kernels with shapes.

Linear layers need only the output's width; for convolutions and recurrent layers the weights are unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch

from archscope.record.op_call import Lowering, OpCall, shape_of
from archscope.record.product_kernels import product_kernel
from archscope.trace import Kernel, Kernels, Shape


def linear_lowering(name: str) -> Lowering:
    return lambda call: (Kernel(name, (call.shape(0, "X"),), call.outputs),)


def convolution_lowering(name: str) -> Lowering:
    """Return a lowering to kernel `name`, which does not include fused operations."""

    def lower(call: OpCall) -> Kernels:
        (weight,) = packed_weight_shapes(call.args)
        return (Kernel(name, (call.shape(0, "qx"), weight), call.outputs),)

    return lower


def rnn_products(call: OpCall) -> Kernels:
    """Return one product per weight matrix of the layers or cell: all tokens times the matrix."""
    tokens = prod(call.shape(0, "input")[:-1])
    return tuple(product_kernel((tokens, shape[1]), shape[::-1]) for shape in packed_weight_shapes(call.args))


def packed_weight_shapes(value: Any) -> Iterator[Shape]:
    """Yield the shapes of the weights in packed objects: of a layer, or of a cell, whose state holds two of them."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from packed_weight_shapes(item)
    elif isinstance(value, torch.ScriptObject):
        packed: Any = value
        if packed._has_method("unpack"):
            yield shape_of(packed.unpack()[0])
        else:
            yield from packed_weight_shapes(packed.__getstate__())


LINEAR_OPS = ["linear", "linear_relu", "linear_leaky_relu", "linear_tanh", "linear_dynamic", "linear_relu_dynamic"]
FP16_LINEAR_OPS = ["linear_dynamic_fp16", "linear_relu_dynamic_fp16"]
CONVOLUTION_OPS = [
    f"conv{kind}{n}d{fused}"
    for n in (1, 2, 3)
    for kind, ends in (("", ("", "_relu", "_dynamic", "_add", "_add_relu")), ("_transpose", ("", "_dynamic")))
    for fused in ends
]
RNN_CELL_OPS = ["lstm_cell_dynamic", "gru_cell_dynamic", "rnn_relu_cell_dynamic", "rnn_tanh_cell_dynamic"]

QUANTIZED_LOWERINGS: Mapping[str, Lowering] = {
    **{f"quantized.{op}": linear_lowering(f"quantized.{op}") for op in (*LINEAR_OPS, *FP16_LINEAR_OPS)},
    **{f"quantized.{op}": convolution_lowering("quantized." + re.split("(?<=d)_", op)[0]) for op in CONVOLUTION_OPS},
    **dict.fromkeys((f"quantized.quantized_{op}" for op in RNN_CELL_OPS), rnn_products),
    **dict.fromkeys(("aten.quantized_lstm", "aten.quantized_gru"), rnn_products),
}
"""The lowering of each operator, by name."""
