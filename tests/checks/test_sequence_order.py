"""Tests of attention and recurrent layers whose input has batch and length in the other order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.errors import SpecError
from archscope.ops.sequence_order import find_order_problem
from archscope.report import Finding


class Cross(nn.Module):
    """pytorch/pytorch#122959: cross attention on tensors with the batch first."""

    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=batch_first)

    def forward(self, query: torch.Tensor, memory: torch.Tensor) -> Any:
        return self.attention(query, memory, memory)[0]


class Masked(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.attention, self.name = nn.MultiheadAttention(16, 4), name

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.attention(x, x, x, **{self.name: mask})[0]


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4), 2)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> Any:
        return self.decoder(x, memory)


class Recurrent(nn.Module):
    def __init__(self, layer: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = layer(8, 6)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> Any:
        return self.rnn(x, (state, state) if isinstance(self.rnn, nn.LSTM) else state)[0]


def only_finding(make: Callable[[], nn.Module], **shapes: Any) -> Finding:
    """The error of a model that is run on these inputs, with its fixes."""
    with torch.random.fork_rng():
        model = make()
    (checked,) = archscope.check(model, input=shapes)
    (finding,) = [one for one in checked.findings if one.level == "error"]
    return finding


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_that_is_read_as_a_length_is_told_with_batch_first(batch: int) -> None:
    finding = only_finding(lambda: Cross(), query=(batch, 1, 16), memory=(batch, 23, 16))
    assert finding.message == (
        f"MultiheadAttention: query ({batch}, 1, 16) is read as (length {batch}, batch 1, 16), "
        f"key ({batch}, 23, 16) as (length {batch}, batch 23, 16): the batches differ"
    )
    assert (finding.cause, finding.help, finding.path) == ("layout", "batch_first=True in `attention`", "attention")
    assert [fix.checked for fix in finding.fixes] == [True]
    assert "batch_first=True" in finding.fixes[0].description


def test_lengths_that_are_read_as_batches_are_told_the_other_way_round() -> None:
    finding = only_finding(lambda: Cross(batch_first=True), query=(1, 2, 16), memory=(23, 2, 16))
    assert "query (1, 2, 16) is read as (batch 1, length 2, 16)" in finding.message
    assert finding.help == "batch_first=False in `attention`"
    assert "batch_first=False" in finding.fixes[0].description


@pytest.mark.parametrize(("name", "mask"), [("key_padding_mask", (2, 7)), ("attn_mask", (7, 7))])
def test_a_mask_tells_in_which_order_a_sequence_was_meant(name: str, mask: tuple[int, int]) -> None:
    finding = only_finding(lambda: Masked(name), x=(2, 7, 16), mask=mask)
    assert f"(batch, keys) = (7, 2) or (queries, keys) = (2, 2), not {mask}" in finding.message
    assert finding.help == "batch_first=True in `attention`"


def test_the_layer_that_makes_the_attention_is_the_one_to_be_told() -> None:
    finding = only_finding(lambda: Decoder(), x=(2, 7, 16), memory=(2, 9, 16))
    assert finding.help == "batch_first=True in the TransformerDecoderLayer `decoder.layers.0`"


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_a_recurrent_layer_whose_state_has_the_batch_of_the_other_axis_has_a_checked_fix(layer: Any) -> None:
    finding = only_finding(lambda: Recurrent(layer), x=(2, 7, 8), state=(1, 2, 6))
    assert "batch_first=True" in finding.fixes[0].description


def test_sequences_that_fit_in_neither_order_are_not_advised_to_change_it() -> None:
    """pytorch/pytorch#64888: a query of batch 1 beside keys of batch 4."""
    finding = only_finding(lambda: Cross(), query=(1, 1, 16), memory=(4, 196, 16))
    assert "key (4, 196, 16) as (length 4, batch 196, 16): the batches differ" in finding.message
    assert "batch_first" not in finding.help
    assert not finding.fixes
    wrong_state = only_finding(lambda: Recurrent(nn.GRU), x=(2, 7, 8), state=(1, 3, 6))
    assert not wrong_state.fixes


def test_what_fits_in_its_order_is_not_misread() -> None:
    assert find_order_problem((7, 2, 16), (9, 2, 16), [(2, 9), (7, 9)], batch_first=False) is None
    assert find_order_problem((2, 7, 16), (2, 9, 16), [(2, 9), (7, 9)], batch_first=True) is None
    assert find_order_problem((4, 4, 16), (4, 4, 16), [(4, 4)], batch_first=False) is None
    assert find_order_problem((7, 16), (9, 16), [], batch_first=False) is None


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_spec_is_told_in_the_same_words(tmp_path: Path, batch_first: bool) -> None:
    axes = ("1, 2", "23, 2") if batch_first else ("2, 1", "2, 23")
    path = tmp_path / "net.yaml"
    path.write_text(
        f"inputs:\n  query: [{axes[0]}, 16]\n  memory: [{axes[1]}, 16]\nlayers:\n"
        f"  - y, _: MultiheadAttention(num_heads=4, batch_first={batch_first})(query, memory, memory)\n",
        encoding="utf-8",
    )
    with pytest.raises(SpecError) as caught:
        archscope.summarize(path)
    (problem,) = caught.value.problems
    query, key = (1, 2, 16) if batch_first else (2, 1, 16), (23, 2, 16) if batch_first else (2, 23, 16)
    found = find_order_problem(query, key, [], batch_first=batch_first)
    assert found is not None
    assert (problem.message, problem.help) == (found.fact, f"batch_first={not batch_first}")
    assert problem.span.line == 5
