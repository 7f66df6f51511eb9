"""Models whose products are inside of larger functions or objects, each with its multiply-adds worked out by hand.

recurrent layers and cells, attention layers and stacks, quantised and sparse products, nested sequences
hooks and parametrisations, traced, exported and compiled modules, complex numbers
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.ao import quantization
from torch.nn.utils import rnn

from tests.record.operations import FunctionModule


@dataclass(frozen=True)
class ModelCase:
    """`make` gives a module and its arguments; macs: what one run costs, None if that cannot be known."""

    make: Callable[[], tuple[nn.Module, tuple[Any, ...]]]
    macs: int | None
    unpriced: tuple[str, ...] = ()


def t(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.5)


def module_case(
    macs: int | None, module: Callable[[], nn.Module], *args: Callable[[], Any] | torch.Tensor
) -> ModelCase:
    return ModelCase(lambda: (module(), tuple(arg if isinstance(arg, torch.Tensor) else arg() for arg in args)), macs)


def function_case(macs: int | None, function: Callable[..., Any], *args: Callable[[], Any] | torch.Tensor) -> ModelCase:
    return module_case(macs, lambda: FunctionModule(function), *args)


def unpriced_case(kernel: str, function: Callable[..., Any], *args: torch.Tensor) -> ModelCase:
    return ModelCase(lambda: (FunctionModule(function), args), None, (kernel,))


# ------------------------------------------------------------ recurrent layers
STEPS = t(6, 2, 5)  # 6 steps of 2 sequences, 5 wide: 12 tokens; the state is 4 wide
GATES: dict[type[nn.RNNBase], int] = {nn.LSTM: 16, nn.GRU: 12, nn.RNN: 4}


def packed(*, ordered: bool = True) -> Callable[[], rnn.PackedSequence]:
    lengths = [4, 3, 2] if ordered else [2, 4, 3]
    return lambda: rnn.pack_padded_sequence(t(4, 3, 5), torch.tensor(lengths), enforce_sorted=ordered)


RECURRENT: dict[str, ModelCase] = {
    f"{kind.__name__}, {name}": case
    for kind, rows in GATES.items()
    for name, case in {
        "plain": module_case(12 * rows * (5 + 4), lambda kind=kind: kind(5, 4), STEPS),
        "without bias": module_case(12 * rows * (5 + 4), lambda kind=kind: kind(5, 4, bias=False), STEPS),
        "unbatched": module_case(6 * rows * (5 + 4), lambda kind=kind: kind(5, 4), t(6, 5)),
        "batch first": module_case(12 * rows * (5 + 4), lambda kind=kind: kind(5, 4, batch_first=True), STEPS),
        "two layers, dropout": module_case(
            12 * rows * (5 + 3 * 4), lambda kind=kind: kind(5, 4, 2, dropout=0.5), STEPS
        ),
        "both ways": module_case(12 * 2 * rows * (5 + 4), lambda kind=kind: kind(5, 4, bidirectional=True), STEPS),
        "two layers both ways": module_case(
            12 * 2 * rows * (5 + 4 + 8 + 4), lambda kind=kind: kind(5, 4, 2, bidirectional=True), STEPS
        ),
        "packed": module_case(9 * rows * (5 + 4), lambda kind=kind: kind(5, 4), packed()),
        "packed out of order": module_case(9 * rows * (5 + 4), lambda kind=kind: kind(5, 4), packed(ordered=False)),
        "packed, two layers both ways": module_case(
            9 * 2 * rows * (5 + 4 + 8 + 4), lambda kind=kind: kind(5, 4, 2, bidirectional=True), packed()
        ),
    }.items()
} | {
    "LSTM, projected": module_case(12 * (16 * (5 + 3) + 4 * 3), lambda: nn.LSTM(5, 4, proj_size=3), STEPS),
    "LSTM, with a state": module_case(
        12 * 16 * 9, lambda: nn.LSTM(5, 4), STEPS, lambda: (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    ),
    "GRU, with a state": module_case(12 * 12 * 9, lambda: nn.GRU(5, 4), STEPS, torch.zeros(1, 2, 4)),
    "LSTMCell": module_case(2 * 16 * 9, lambda: nn.LSTMCell(5, 4), t(2, 5)),
    "LSTMCell, unbatched": module_case(16 * 9, lambda: nn.LSTMCell(5, 4), t(5)),
    "LSTMCell, with a state": module_case(2 * 16 * 9, lambda: nn.LSTMCell(5, 4), t(2, 5), lambda: (t(2, 4), t(2, 4))),
    "GRUCell, without bias": module_case(2 * 12 * 9, lambda: nn.GRUCell(5, 4, bias=False), t(2, 5)),
    "RNNCell": module_case(2 * 4 * 9, lambda: nn.RNNCell(5, 4, nonlinearity="relu"), t(2, 5)),
}

# ------------------------------------------------------------ attention layers
QUERY, MEMORY = t(5, 3, 8), t(7, 3, 8)  # 5 queries of 3 sequences, 8 wide, on 7 keys; 2 heads of 4
PROJECTED, SCORED = 3 * 64 * (5 + 7 + 7 + 5), 3 * 5 * 7 * 16
CROSS, SELF = PROJECTED + SCORED, 3 * 5 * (4 * 64 + 5 * 16)
FEED = 15 * 2 * 8 * 16


class Attends(nn.Module):
    """Attention of one kind to a memory, or of a sequence to itself."""

    def __init__(self, *, keywords: dict[str, Any] | None = None, out: int = 8, **options: Any):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)
        if out != 8:
            self.attention.out_proj = nn.modules.linear.NonDynamicallyQuantizableLinear(8, out)
        self.keywords = keywords or {}

    def forward(self, query: torch.Tensor, *memory: torch.Tensor) -> Any:
        key, value = memory or (query, query)
        return self.attention(query, key, value, **self.keywords)[0]


class Pools(nn.Module):
    """Attention with a projection for each of query, key and value, and one to `out` features."""

    def __init__(self, out: int):
        super().__init__()
        self.q, self.k, self.v, self.c = (nn.Linear(8, width) for width in (8, 8, 8, out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = {f"{name}_proj_weight": getattr(self, name).weight for name in "qkv"}
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        ends = self.c.weight, self.c.bias
        arguments = x, x[:5], x[:5], 8, 2, None, bias, None, None, False, 0.0, *ends
        return F.multi_head_attention_forward(*arguments, use_separate_proj_weight=True, **own)[0]


def encoder(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, **options)


def padded(*, fast: bool) -> nn.Module:
    stack = nn.TransformerEncoder(encoder(batch_first=True), 2, enable_nested_tensor=fast)
    mask = torch.tensor([[False] * 5, [False] * 4 + [True], [False] * 2 + [True] * 3])
    return FunctionModule(lambda x: stack.train(mode=False)(x, src_key_padding_mask=mask))


ATTENTION: dict[str, ModelCase] = {
    "MultiheadAttention, cross": module_case(CROSS, Attends, QUERY, MEMORY, MEMORY),
    "MultiheadAttention, self": module_case(SELF, Attends, QUERY),
    "MultiheadAttention, without weights": module_case(
        CROSS, lambda: Attends(keywords={"need_weights": False}), QUERY, MEMORY, MEMORY
    ),
    "MultiheadAttention, batch first": module_case(
        CROSS, lambda: Attends(batch_first=True), t(3, 5, 8), t(3, 7, 8), t(3, 7, 8)
    ),
    "MultiheadAttention, unbatched": module_case(5 * (4 * 64 + 5 * 16), Attends, t(5, 8)),
    "MultiheadAttention, narrow keys": module_case(
        3 * 64 * (5 + 5) + 3 * 7 * 8 * (6 + 4) + SCORED,
        lambda: Attends(kdim=6, vdim=4),
        QUERY,
        t(7, 3, 6),
        t(7, 3, 4),
    ),
    "MultiheadAttention, narrow output": module_case(CROSS - 15 * 8 * 4, lambda: Attends(out=4), QUERY, MEMORY, MEMORY),
    "MultiheadAttention, wide output, unbatched": module_case(
        5 * (3 * 64 + 8 * 9 + 5 * 16), lambda: Attends(out=9), t(5, 8)
    ),
    "attention pool": module_case(3 * (7 + 5 + 5) * 64 + 3 * 7 * 8 * 3 + SCORED, lambda: Pools(3), MEMORY),
    "MultiheadAttention, learned key": module_case(
        PROJECTED + 3 * 5 * 8 * 16, lambda: Attends(add_bias_kv=True), QUERY, MEMORY, MEMORY
    ),
    "MultiheadAttention, zero key": module_case(
        PROJECTED + 3 * 5 * 8 * 16, lambda: Attends(add_zero_attn=True), QUERY, MEMORY, MEMORY
    ),
    "MultiheadAttention, masks": module_case(
        SELF,
        lambda: Attends(keywords={"attn_mask": torch.zeros(5, 5).bool(), "key_padding_mask": torch.zeros(3, 5).bool()}),
        QUERY,
    ),
    "TransformerEncoderLayer": module_case(SELF + FEED, encoder, QUERY),
    "TransformerEncoderLayer, norm first": module_case(
        SELF + FEED, lambda: encoder(norm_first=True, activation="gelu", batch_first=True), t(3, 5, 8)
    ),
    "TransformerEncoder, padded": module_case(2 * (SELF + FEED), lambda: padded(fast=True), t(3, 5, 8)),
    "TransformerEncoder, padded, slow": module_case(2 * (SELF + FEED), lambda: padded(fast=False), t(3, 5, 8)),
    "TransformerDecoderLayer": module_case(
        SELF + CROSS + FEED, lambda: nn.TransformerDecoderLayer(8, 2, 16), QUERY, MEMORY
    ),
    "fused attention": function_case(
        15 * 4 * 64 + 3 * 25 * 16,
        lambda x, w, b, o, c: torch._native_multi_head_attention(x, x, x, 8, 2, w, b, o, c)[0],
        t(3, 5, 8),
        t(24, 8),
        t(24),
        t(8, 8),
        t(8),
    ),
}


# ------------------------------------------------------------ quantised, sparse, nested
class Quantised(nn.Module):
    """Two convolutions and a linear layer between quantize and dequantize."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = quantization.QuantStub(), quantization.DeQuantStub()
        self.first, self.relu, self.second = nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.relu(self.first(self.into(x))))
        return self.out(self.head(y.mean((2, 3))))


def statically(*, convert: bool) -> nn.Module:
    net = Quantised().eval()
    net.qconfig = quantization.get_default_qconfig("x86")
    prepared = quantization.prepare(quantization.fuse_modules(net, [["first", "relu"]]))
    prepared(t(2, 4, 9, 7))
    return quantization.convert(prepared) if convert else prepared


def dynamically(make: Callable[[], nn.Module], kind: type[nn.Module], dtype: torch.dtype = torch.qint8) -> nn.Module:
    return quantization.quantize_dynamic(nn.Sequential(make()), {kind}, dtype=dtype)[0]


STATIC = 2 * 6 * 7 * 5 * 4 * 9 + 2 * 6 * 5 * 3 * 3 * 9 + 2 * 6 * 3
QUANTISED: dict[str, ModelCase] = {
    "static quantisation": module_case(STATIC, lambda: statically(convert=True), t(2, 4, 9, 7)),
    "observed for quantisation": module_case(STATIC, lambda: statically(convert=False), t(2, 4, 9, 7)),
    "dynamic linear": module_case(2 * 3 * 4 * 5, lambda: dynamically(lambda: nn.Linear(4, 5), nn.Linear), t(2, 3, 4)),
    "dynamic linear in half": module_case(
        2 * 4 * 5, lambda: dynamically(lambda: nn.Linear(4, 5), nn.Linear, torch.float16), t(2, 4)
    ),
    "dynamic LSTM": module_case(
        12 * 2 * 16 * (5 + 4 + 8 + 4),
        lambda: dynamically(lambda: nn.LSTM(5, 4, 2, bidirectional=True), nn.LSTM),
        STEPS,
    ),
    "dynamic LSTM, packed": module_case(9 * 16 * 9, lambda: dynamically(lambda: nn.LSTM(5, 4), nn.LSTM), packed()),
    "dynamic GRU": module_case(12 * 12 * 9, lambda: dynamically(lambda: nn.GRU(5, 4), nn.GRU), STEPS),
    "dynamic LSTMCell": module_case(2 * 16 * 9, lambda: dynamically(lambda: nn.LSTMCell(5, 4), nn.LSTMCell), t(2, 5)),
    "_int_mm": function_case(32 * 16 * 24, torch._int_mm, t(32, 16).char(), t(16, 24).char()),
    "_weight_int8pack_mm": function_case(
        4 * 32 * 16, torch._weight_int8pack_mm, t(4, 32).bfloat16(), t(16, 32).char(), t(16).bfloat16()
    ),
    "_scaled_mm": function_case(
        32 * 16 * 48,
        lambda a, b, one: torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16),
        t(32, 16).to(torch.float8_e4m3fn),
        t(48, 16).to(torch.float8_e4m3fn),
        torch.tensor(1.0),
    ),
    "grouped_mm": function_case(
        16 * 8 * 24,
        lambda a, b: F.grouped_mm(a, b, offs=torch.tensor([4, 16], dtype=torch.int32)),
        t(16, 8).bfloat16(),
        t(2, 8, 24).bfloat16(),
    ),
}

EYE = torch.eye(4, 5)


def sparse(layout: torch.layout = torch.sparse_coo, *, columns: int = 5) -> Callable[[], torch.Tensor]:
    """4 of 4 × columns elements are stored. Torch warns of the layouts that it calls new."""
    return lambda: torch.eye(4, columns).to_sparse(layout=layout)


SPARSE: dict[str, ModelCase] = {
    **{
        f"{layout} @ dense": function_case(4 * 3, torch.matmul, sparse(layout), t(5, 3))
        for layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
    },
    "sparse @ vector": function_case(4, torch.mv, sparse(), t(5)),
    "dense @ sparse": function_case(3 * 4, torch.matmul, t(3, 4), sparse(torch.sparse_csc)),
    "sparse.mm": function_case(4 * 3, torch.sparse.mm, sparse(), t(5, 3)),
    "sparse.mm, reduced": function_case(
        4 * 3, lambda a, b: torch.sparse.mm(a, b, "sum"), sparse(torch.sparse_csr), t(5, 3)
    ),
    "sparse.addmm": function_case(4 * 3, torch.sparse.addmm, t(4, 3), sparse(), t(5, 3)),
    "addmm of a sparse": function_case(4 * 3, torch.addmm, t(4, 3), sparse(torch.sparse_csr), t(5, 3)),
    "sparse.sampled_addmm": function_case(
        4 * 7, torch.sparse.sampled_addmm, sparse(torch.sparse_csr, columns=6), t(4, 7), t(7, 6)
    ),
    "linear with sparse weight": function_case(3 * 4, F.linear, t(3, 5), sparse(torch.sparse_csr)),
    "hspmm": function_case(4 * 3, torch.hspmm, sparse(), t(5, 3)),
    "made sparse inside": function_case(4 * 3, lambda a, b: a.to_sparse() @ b, EYE, t(5, 3)),
    "sparse @ sparse": unpriced_case("aten._sparse_mm", lambda a, b: a.to_sparse() @ b.to_sparse(), EYE, t(5, 3)),
}


def ragged(*lengths: int, width: int, layout: torch.layout = torch.jagged) -> torch.Tensor:
    return torch.nested.nested_tensor([t(length, width) for length in lengths], layout=layout)


def heads(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Two sequences, split into 2 heads of 8, attend to themselves."""
    x = torch.nested.nested_tensor([a, b], layout=torch.jagged).unflatten(-1, [2, 8]).transpose(1, 2)
    return F.scaled_dot_product_attention(x, x, x).transpose(1, 2).flatten(2).to_padded_tensor(0.0)


NESTED: dict[str, ModelCase] = {
    "linear of nested rows": module_case(5 * 4 * 7, lambda: nn.Linear(4, 7), lambda: ragged(2, 3, width=4)),
    "nested inside": function_case(
        5 * 4 * 7,
        lambda a, b, w: F.linear(torch.nested.nested_tensor([a, b], layout=torch.jagged), w).to_padded_tensor(0.0),
        t(2, 4),
        t(3, 4),
        t(7, 4),
    ),
    "nested attention": function_case(2 * (2 * 2 + 3 * 3) * 16, heads, t(2, 16), t(3, 16)),
}

MODEL_CASES: dict[str, ModelCase] = RECURRENT | ATTENTION | QUANTISED | SPARSE | NESTED
