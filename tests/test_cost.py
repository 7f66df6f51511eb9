"""Prices of kernels by hand, bytes of rows, and the rule that unknown is never zero."""

from __future__ import annotations

import pytest

from archscope.cost import FORMULAS, FREE, Cost, price
from archscope.trace import Kernel, Operand, Row, Shape, Value

TRANSPOSED = (("transposed", True),)
EXPAND = (("expand1", (1, 3)), ("expand2", (0,)), ("expand3", (1, 2)))

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
    ("aten.relu_", ((9, 9),), (9, 9), (), 0),
    ("aten.native_layer_norm", ((9, 9), (9,), (9,)), (9, 9), (), 0),
]


def row(*kernels: Kernel, inputs: tuple[Value, ...] = (), outputs: tuple[Value, ...] = (), view: bool = False) -> Row:
    operands = tuple(Operand("x", value) for value in inputs)
    return Row(0, "0", "op", "torch.op", 0, operands, outputs, (), kernels, view)


@pytest.mark.parametrize(("name", "inputs", "output", "attributes", "macs"), KERNELS)
def test_formulas(name: str, inputs: tuple[Shape, ...], output: Shape, attributes: tuple, macs: int) -> None:
    cost = price(row(Kernel(name, inputs, (output,), attributes)))
    assert (cost.macs, cost.flops) == (macs, 2 * macs)


def test_unknown_is_never_zero() -> None:
    known, unknown = Kernel("aten.mm", ((2, 3), (3, 4)), ((2, 4),)), Kernel("lib.op", ((2,),), ((2,),))
    cost = price(row(known, unknown))
    assert (cost.known, cost.unpriced) == (24, ("lib.op",))
    assert cost.macs is None
    assert cost.flops is None
    assert (cost + Cost(known=1)).macs is None


def test_a_table_of_ones_own() -> None:
    kernel = Kernel("lib.op", ((2,),), ((2,),))
    assert price(row(kernel), {"lib.op": lambda kernel: 5}).macs == 5
    assert price(row(kernel), free={"lib.op"}).macs == 0


def test_costs_add() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30, ("k",)) == Cost(11, 22, 33, ("k",))
    assert sum([Cost(known=2), Cost(known=3)], Cost()).macs == 5


def test_bytes_are_distinct_inputs_and_every_output() -> None:
    a, b, c = (Value(number, (2, 4), "float32", 32) for number in range(3))
    cost = price(row(inputs=(a, a, b), outputs=(c, c)))
    assert (cost.read, cost.written) == (64, 64)
    assert price(row(inputs=(a,), outputs=(b,), view=True)) == Cost()


def test_nothing_is_both_priced_and_free() -> None:
    assert not FORMULAS.keys() & FREE


def test_the_tables_name_operators_that_exist() -> None:
    import torch

    names = [name.removeprefix("aten.") for name in (*FREE, *FORMULAS)]
    known = set(torch._C._dispatch_get_all_op_names())
    bases = {name.removeprefix("aten::").split(".")[0] for name in known if name.startswith("aten::")}
    assert [name for name in names if name not in bases and f"{name}_" not in bases] == []
