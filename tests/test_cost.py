"""Prices of kernels by hand, bytes of rows, and the rule that unknown is never zero."""

from __future__ import annotations

import pytest

from archscope.cost import FORMULAS, FREE_KERNELS, UNPRICED_KERNELS, Cost, price_row
from archscope.trace import Kernel, Operand, Row, Shape, Value

TRANSPOSED = (("transposed", True),)
BACK = (2, 6, 7, 5), (2, 4, 9, 7), (6, 4, 3, 3)
UP = (2, 6, 11, 9), (2, 4, 9, 7), (4, 6, 3, 3)
MIXING = (24, 8), (24,), (8, 8), (8,)
POOLING = (24, 8), (24,), (4, 8), (4,)
ENCODER = (2, 5, 8), *MIXING, (8,), (8,), (8,), (8,), (16, 8), (16,), (8, 16), (8,)
LSTM = ((16, 5), (16, 4), (16,), (16,)) * 2
EXPAND = (("expand1", (1, 3)), ("expand2", (0,)), ("expand3", (1, 2)))


def mask(*required: int) -> tuple[tuple[str, object], ...]:
    return (("output_mask", tuple(map(bool, required))),)


KERNELS: list[tuple[str, tuple[Shape, ...], Shape, tuple[tuple[str, object], ...], int]] = [
    ("aten.mm", ((2, 3), (3, 4)), (2, 4), (), 24),
    ("aten.addmm", ((4,), (2, 3), (3, 4)), (2, 4), (), 24),
    ("aten.addmm_", ((2, 4), (2, 3), (3, 4)), (2, 4), (), 24),
    ("aten.bmm", ((5, 2, 3), (5, 3, 4)), (5, 2, 4), (), 120),
    ("aten.baddbmm", ((5, 2, 4), (5, 2, 3), (5, 3, 4)), (5, 2, 4), (), 120),
    ("aten.addbmm", ((2, 4), (5, 2, 3), (5, 3, 4)), (2, 4), (), 120),
    ("aten.mv", ((2, 3), (3,)), (2,), (), 6),
    ("aten.addmv", ((2,), (2, 3), (3,)), (2,), (), 6),
    ("aten.dot", ((7,), (7,)), (), (), 7),
    ("aten.vdot", ((7,), (7,)), (), (), 7),
    ("aten._int_mm", ((2, 3), (3, 4)), (2, 4), (), 24),
    ("aten._scaled_mm", ((2, 3), (3, 4), (), (), (4,)), (2, 4), (), 24),
    ("aten.convolution", ((1, 3, 224, 224), (64, 3, 7, 7)), (1, 64, 112, 112), (), 118_013_952),
    ("aten.convolution", ((2, 8, 5, 5), (8, 1, 3, 3), (8,)), (2, 8, 3, 3), (), 2 * 8 * 9 * 9),
    ("aten.convolution", ((2, 8, 5, 5), (8, 3, 2, 2)), (2, 6, 10, 10), TRANSPOSED, 2 * 8 * 25 * 3 * 4),
    ("aten.conv_tbc", ((9, 2, 4), (3, 4, 6), (6,)), (7, 2, 6), (), 7 * 2 * 6 * 12),
    ("aten._trilinear", ((2, 3), (6, 3, 5), (2, 5)), (2, 6), EXPAND, 2 * 6 * 3 * 5),
    ("aten._scaled_dot_product_flash_attention", ((2, 4, 5, 8),) * 3, (2, 4, 5, 8), (), 2 * 8 * 25 * 8),
    ("aten.scaled_dot_product_attention", ((4, 5, 8), (2, 7, 8), (2, 7, 6)), (4, 5, 6), (), 4 * 35 * 14),
    ("aten.mm", ((0, 3), (3, 4)), (0, 4), (), 0),
    ("aten.mm", ((4, 5), (5, 3)), (4, 3), (("stored", (7, None)),), 7 * 3),
    ("aten.mm", ((3, 4), (4, 5)), (3, 5), (("stored", (None, 7)),), 3 * 7),
    ("aten.mv", ((4, 5), (5,)), (4,), (("stored", (7, None)),), 7),
    ("aten._sparse_addmm", ((4, 3), (4, 5), (5, 3)), (4, 3), (("stored", (None, 7, None)),), 7 * 3),
    ("aten.bmm", ((2, 4, 5), (2, 5, 3)), (2, 4, 3), (("stored", (7, None)),), 7 * 3),
    ("aten.sparse_sampled_addmm", ((4, 6), (4, 5), (5, 6)), (4, 6), (("stored", (7, None, None)),), 7 * 5),
    ("aten._sparse_semi_structured_mm", ((32, 16), (32, 2), (32, 8)), (32, 8), (), 32 * 16 * 8),
    ("aten._sparse_semi_structured_linear", ((4, 32), (8, 16), (8, 2)), (4, 8), (), 4 * 8 * 16),
    ("aten._foreach_mm", ((2, 3), (4, 5), (3, 6), (5, 7)), (2, 6), (), 2 * 3 * 6 + 4 * 5 * 7),
    ("aten._grouped_mm", ((9, 3), (2, 3, 4), (2,)), (9, 4), (), 9 * 3 * 4),
    ("aten._grouped_mm", ((2, 9, 3), (2, 3, 4)), (2, 9, 4), (), 2 * 9 * 3 * 4),
    ("aten._grouped_mm", ((3, 9), (9, 4), (2,)), (2, 3, 4), (), 3 * 9 * 4),
    ("aten._grouped_mm", ((2, 9, 3), (3, 8), (2,)), (9, 8), (), 9 * 3 * 8),
    ("aten._euclidean_dist", ((2, 30, 4), (2, 8, 4)), (2, 30, 8), (), 2 * 30 * 8 * 6),
    ("aten.affine_grid_generator", ((2, 2, 3),), (2, 6, 7, 2), (), 2 * 42 * 6),
    ("aten.mkldnn_linear", ((2, 3, 5), (7, 5), (7,)), (2, 3, 7), (), 6 * 35),
    ("quantized.linear", ((2, 3, 5),), (2, 3, 7), (), 6 * 35),
    ("aten.slow_conv_transpose2d", ((2, 4, 9, 7), (4, 6, 3, 3), (6,)), (2, 6, 11, 9), (), 2 * 4 * 63 * 6 * 9),
    ("mkldnn._convolution_pointwise", ((2, 4, 9, 7), (2, 6, 7, 5), (6, 4, 3, 3)), (2, 6, 7, 5), (), 12 * 35 * 36),
    ("onednn.qconv_pointwise", ((2, 4, 9, 7), (6, 4, 3, 3), (6,), (6,)), (2, 6, 7, 5), (), 12 * 35 * 36),
    ("aten._flash_attention_forward", ((2, 5, 3, 8), (2, 7, 3, 8), (2, 7, 3, 8)), (2, 5, 3, 8), (), 6 * 35 * 16),
    ("aten._native_multi_head_attention", ((2, 5, 8),) * 3 + MIXING, (2, 5, 8), (), 10 * 4 * 64 + 2 * 25 * 16),
    ("aten._native_multi_head_attention", ((2, 5, 8),) * 3 + POOLING, (2, 5, 4), (), 10 * 3 * 64 + 320 + 2 * 25 * 16),
    ("aten._transformer_encoder_layer_fwd", ENCODER, (2, 5, 8), (), 10 * 4 * 64 + 2 * 25 * 16 + 10 * 2 * 8 * 16),
    ("aten.mkldnn_rnn_layer", ((6, 2, 5), (16, 5), (16, 4), (16,), (16,), (2, 4), (2, 4)), (6, 2, 4), (), 12 * 16 * 9),
    ("aten._cudnn_rnn", ((6, 2, 5), *LSTM, (640,), (2, 2, 4), (2, 2, 4)), (6, 2, 8), (), 12 * 2 * 16 * 9),
    ("aten._cudnn_rnn_backward", ((6, 2, 5), *LSTM, (640,), (2, 2, 4), (6, 2, 8)), (6, 2, 5), (), 2 * 12 * 2 * 16 * 9),
    (
        "aten._cudnn_rnn_backward",
        ((6, 2, 5), *LSTM, (640,), (2, 2, 4), (6, 2, 8)),
        (6, 2, 5),
        (("num_layers", 1), ("output_mask", (False, False, False, True))),
        2 * 12 * 2 * 16 * 9 - 12 * 2 * 16 * 5 - 2 * 2 * 16 * 4,
    ),
    ("aten.convolution_backward", BACK, (2, 4, 9, 7), mask(1, 1, 1), 2 * 12 * 35 * 36),
    ("aten.convolution_backward", BACK, (2, 4, 9, 7), mask(0, 1, 1), 12 * 35 * 36),
    ("aten.convolution_backward", UP, (2, 4, 9, 7), (*TRANSPOSED, *mask(1, 1, 0)), 2 * 2 * 4 * 63 * 6 * 9),
    ("aten.linear_backward", ((2, 3, 5), (2, 3, 7), (7, 5)), (2, 3, 5), mask(1, 1, 1), 2 * 6 * 35),
    ("aten.mkldnn_linear_backward_input", ((6, 7), (7, 5)), (6, 5), (), 6 * 35),
    ("aten.mkldnn_linear_backward_weights", ((6, 7), (6, 5), (7, 5)), (7, 5), (), 6 * 35),
    ("aten.matmul_backward", ((2, 4), (2, 3), (3, 4)), (2, 3), (("mask", (True, False)),), 24),
    ("aten._scaled_dot_product_flash_attention_for_cpu_backward", ((2, 3, 5, 8),) * 6, (2, 3, 5, 8), (), 2 * 150 * 16),
    ("aten._flash_attention_backward", ((2, 5, 3, 8),) * 5 + ((2, 3, 5), (2,), (0,)), (2, 5, 3, 8), (), 2 * 150 * 16),
    ("aten._flash_attention_forward_no_dropout_inplace", ((2, 5, 3, 8),) * 4, (2, 3, 5), (), 150 * 16),
    ("aten.linalg_solve_triangular", ((2, 5, 5), (2, 5, 7)), (2, 5, 7), (), 2 * (10 * 7 + 5 * 7)),
    ("aten.linalg_solve_triangular", ((5, 5), (2, 7, 5)), (2, 7, 5), (("unitriangular", True),), 2 * 10 * 7),
    ("aten.triangular_solve", ((5, 7), (5, 5)), (5, 7), (), 10 * 7 + 5 * 7),
    ("aten._flash_attention_backward", ((2, 5, 3, 8),) * 5, (2, 5, 3, 8), (), 2 * 150 * 16),
    ("aten.mkldnn_rnn_layer_backward", ((6, 2, 5), (16, 5), (16, 4), (16,)), (6, 2, 5), (), 2 * 12 * 16 * 9),
    ("aten.relu_", ((9, 9),), (9, 9), (), 0),
    ("aten.native_layer_norm", ((9, 9), (9,), (9,)), (9, 9), (), 0),
]


WITHOUT_PRICE: list[tuple[str, tuple[Shape, ...], tuple[tuple[str, object], ...]]] = [
    ("aten._sparse_addmm", ((4, 3), (4, 5), (5, 3)), ()),
    ("aten.sparse_sampled_addmm", ((4, 6), (4, 5), (5, 6)), ()),
    ("aten.mm", ((4, 5), (5, 6)), (("stored", (7, 8)),)),
    ("aten.mm", ((20,), (4, 7)), (("nested", True),)),
    ("quantized.conv2d", ((2, 4, 9, 7),), ()),
    ("aten._flash_attention_forward", ((10, 3, 8), (14, 3, 8), (14, 3, 8), (3,), (3,)), ()),
    ("aten._flash_attention_forward", ((2, 5, 3, 8), (9, 16, 3, 8), (9, 16, 3, 8), (2, 4)), ()),
    ("aten._flash_attention_backward", ((10, 3, 8),) * 5 + ((3,), (3,)), ()),
    ("aten._efficient_attention_forward", ((1, 10, 3, 8), (1, 14, 3, 8), (1, 14, 3, 8), (3,), (3,)), ()),
    ("aten._cudnn_rnn_backward", ((12, 5), *LSTM, (640,), (2, 2, 4), (12, 8)), ()),
]
"""Kernels whose shapes do not determine their MACs."""


@pytest.mark.parametrize(("name", "inputs", "attributes"), WITHOUT_PRICE)
def test_a_formula_may_return_none(name: str, inputs: tuple[Shape, ...], attributes: tuple) -> None:
    cost = price_row(row(Kernel(name, inputs, (inputs[0],), attributes)))
    assert (cost.macs, cost.unpriced) == (None, (name,))


def row(*kernels: Kernel, inputs: tuple[Value, ...] = (), outputs: tuple[Value, ...] = (), view: bool = False) -> Row:
    operands = tuple(Operand("x", value) for value in inputs)
    return Row(0, "0", "op", "torch.op", 0, operands, outputs, (), kernels, view)


@pytest.mark.parametrize(("name", "inputs", "output", "attributes", "macs"), KERNELS)
def test_formulas(name: str, inputs: tuple[Shape, ...], output: Shape, attributes: tuple, macs: int) -> None:
    cost = price_row(row(Kernel(name, inputs, (output,), attributes)))
    assert (cost.macs, cost.flops) == (macs, 2 * macs)


def test_unknown_is_never_zero() -> None:
    known, unknown = Kernel("aten.mm", ((2, 3), (3, 4)), ((2, 4),)), Kernel("lib.op", ((2,),), ((2,),))
    cost = price_row(row(known, unknown))
    assert (cost.known, cost.unpriced) == (24, ("lib.op",))
    assert cost.macs is None
    assert cost.flops is None
    assert (cost + Cost(known=1)).macs is None


def test_a_custom_table_of_formulas() -> None:
    kernel = Kernel("lib.op", ((2,),), ((2,),))
    assert price_row(row(kernel), {"lib.op": lambda kernel: 5}).macs == 5
    assert price_row(row(kernel), free={"lib.op"}).macs == 0


def test_costs_add() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30, ("k",)) == Cost(11, 22, 33, ("k",))
    assert sum([Cost(known=2), Cost(known=3)], Cost()).macs == 5


def test_bytes_are_distinct_inputs_and_every_output() -> None:
    a, b, c = (Value(number, (2, 4), "float32", 32) for number in range(3))
    cost = price_row(row(inputs=(a, a, b), outputs=(c, c)))
    assert (cost.read, cost.written) == (64, 64)
    assert price_row(row(inputs=(a,), outputs=(b,), view=True)) == Cost()


def test_a_name_is_on_one_list() -> None:
    assert not FORMULAS.keys() & FREE_KERNELS
    assert not UNPRICED_KERNELS & (FORMULAS.keys() | FREE_KERNELS)


def aten() -> dict[str, list[str]]:
    """Return every aten operator with its overloads."""
    import torch

    found: dict[str, list[str]] = {}
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        if space == "aten":
            overload = f".{schema.overload_name}" if schema.overload_name else ""
            found.setdefault(name, []).append(f"aten::{name}{overload}")
    return found


def is_always_decomposed(overloads: list[str]) -> bool:
    """Return whether an operator never runs as a kernel, because it always calls others."""
    import torch

    has = torch._C._dispatch_has_kernel_for_dispatch_key
    real = [name for name in overloads if torch._C._dispatch_has_kernel(name)]
    return all(has(name, "CompositeImplicitAutograd") and not has(name, "CPU") for name in real)


ONLY_IN_SOME_VERSIONS = frozenset(
    [
        "cholesky",  # up to 2.14
        *("_cudnn_attention_forward_no_dropout_inplace", "_philox_randint", "_scaled_addmm"),  # from 2.14 or 2.15 on
        *("linalg_matrix_sqrth", "linalg_polar", "shallow_copy_data_"),
    ]
)
"""Operators that only one of torch 2.13 and 2.15 has."""


def test_the_tables_name_operators_that_exist() -> None:
    if pytest.importorskip("torch").__version__ < "2.13":
        pytest.skip("the tables name the operators of torch 2.13 and 2.15")
    names = [
        name.removeprefix("aten.") for name in (*FREE_KERNELS, *FORMULAS, *UNPRICED_KERNELS) if name.startswith("aten.")
    ]
    known = aten().keys() | ONLY_IN_SOME_VERSIONS
    assert [name for name in names if not {name, f"{name}_"} & known] == []


def test_every_kernel_of_aten_is_on_a_list() -> None:
    """Each has a formula, is free or is known to be unpriced; a new torch may add names."""
    kernels = [
        name for name, overloads in aten().items() if not name.endswith("_out") and not is_always_decomposed(overloads)
    ]
    listed = FORMULAS.keys() | FREE_KERNELS | UNPRICED_KERNELS
    assert [name for name in kernels if not {f"aten.{name}", f"aten.{name.removesuffix('_')}"} & listed] == []
