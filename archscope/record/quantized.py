"""Quantised layers: torch.ops.quantized.* with weights in packed objects → kernels with shapes.

linear: the output's width is enough.   convolutions, recurrent layers: the weights are unpacked for their shapes
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch

from archscope.record.invocation import Invocation, Lowering
from archscope.record.products import product
from archscope.record.tensors import shape_of
from archscope.trace import Kernel, Kernels, Shape


def linear(name: str) -> Lowering:
    return lambda call: (Kernel(name, (call.shape(0, "X"),), call.outputs),)


def convolution(name: str) -> Lowering:
    """The kernel is named without what is fused to it."""

    def lower(call: Invocation) -> Kernels:
        (weight,) = packed_weights(call.args)
        return (Kernel(name, (call.shape(0, "qx"), weight), call.outputs),)

    return lower


def recurrent(call: Invocation) -> Kernels:
    """Layers and cells: every token meets every weight matrix once."""
    tokens = prod(call.shape(0, "input")[:-1])
    return tuple(product((tokens, shape[1]), shape[::-1]) for shape in packed_weights(call.args))


def packed_weights(value: Any) -> Iterator[Shape]:
    """Shapes of the weights in packed objects: of a layer, or of a cell, which holds two of them in its state."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from packed_weights(item)
    elif isinstance(value, torch.ScriptObject):
        packed: Any = value
        if packed._has_method("unpack"):
            yield shape_of(packed.unpack()[0])
        else:
            yield from packed_weights(packed.__getstate__())


LINEAR = ["linear", "linear_relu", "linear_leaky_relu", "linear_tanh", "linear_dynamic", "linear_relu_dynamic"]
HALF = ["linear_dynamic_fp16", "linear_relu_dynamic_fp16"]
CONVOLUTIONS = [
    f"conv{kind}{n}d{fused}"
    for n in (1, 2, 3)
    for kind, ends in (("", ("", "_relu", "_dynamic", "_add", "_add_relu")), ("_transpose", ("", "_dynamic")))
    for fused in ends
]
CELLS = ["lstm_cell_dynamic", "gru_cell_dynamic", "rnn_relu_cell_dynamic", "rnn_tanh_cell_dynamic"]

QUANTIZED: Mapping[str, Lowering] = {
    **{f"quantized.{op}": linear(f"quantized.{op}") for op in (*LINEAR, *HALF)},
    **{f"quantized.{op}": convolution("quantized." + re.split("(?<=d)_", op)[0]) for op in CONVOLUTIONS},
    **dict.fromkeys((f"quantized.quantized_{op}" for op in CELLS), recurrent),
    **dict.fromkeys(("aten.quantized_lstm", "aten.quantized_gru"), recurrent),
}
"""Operator → its lowering."""
