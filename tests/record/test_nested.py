"""Nested tensors in training: what their parts cost, and nothing for queries of their properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope
from tests.record.runs import Holds

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]

LINEAR = (3 + 5) * 8 * 8
SCORES = (9 + 25) * 8


def attends(x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (2, 4)).transpose(1, 2)
    return F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2)


def by_parts(x: Tensor) -> Tensor:
    parts = torch.ones(2, 8, 8, requires_grad=True).unbind()
    return torch.bmm(x, torch.nested.as_nested_tensor(list(parts), layout=torch.strided))


WAYS: dict[str, tuple[torch.layout, Callable[[Tensor], Tensor], int, int]] = {
    "jagged, linear": (torch.jagged, lambda x: x, 0, 0),
    "jagged, gelu": (torch.jagged, F.gelu, 0, 0),
    "jagged, matmul": (torch.jagged, lambda x: x @ torch.ones(8, 8, requires_grad=True), LINEAR, 2 * LINEAR),
    "jagged, attention": (torch.jagged, attends, 2 * SCORES, 4 * SCORES),
    "jagged, chunk": (torch.jagged, lambda x: x.chunk(2, -1)[0], 0, 0),
    "jagged, padded": (torch.jagged, lambda x: x.to_padded_tensor(0.0), 0, 0),
    "strided, linear": (torch.strided, lambda x: x, 0, 0),
    "strided, bmm": (torch.strided, by_parts, LINEAR, 2 * LINEAR),
    "strided, scores": (torch.strided, lambda x: x @ x.transpose(1, 2), SCORES, 2 * SCORES),
    "strided, padded": (torch.strided, lambda x: x.to_padded_tensor(0.0), 0, 0),
}


@pytest.mark.parametrize("name", WAYS)
def test_both_passes_cost_what_the_parts_do(name: str) -> None:
    layout, function, forward, backward = WAYS[name]

    def run(own: Holds, pair: Tensor) -> Tensor:
        y = function(own.layer(torch.nested.as_nested_tensor([pair[:3], pair[3:]], layout=layout)))
        return torch.stack([part.sum() for part in y.unbind()]).sum()

    report = archscope.summarize(Holds(run, layer=nn.Linear(8, 8)), args=(torch.ones(8, 8),), train=True)
    assert report.unpriced == {}
    assert (report.total.macs, report.backward_total.macs) == (LINEAR + forward, LINEAR + backward)  # type: ignore[union-attr]  # it derives
