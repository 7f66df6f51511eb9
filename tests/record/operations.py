"""Operations of torch in every form their arguments take, each with its multiply-adds worked out by hand.

    name → (what runs, shapes of its tensors, multiply-adds)

The figures are written as the derivation: batch · rows · columns · inner for products, outputs · channels · kernel for
convolutions. Sizes are small and unequal, so that a figure tells which axes were multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """`make` gives a module, or a function of the tensors; macs: what one call of it costs."""

    make: Callable[[], Callable[..., Any]]
    shapes: tuple[Shape, ...]
    macs: int


class FunctionModule(nn.Module):
    """A module whose forward pass is the given function."""

    def __init__(self, forward: Callable[..., Any]):
        super().__init__()
        self._forward = forward

    def forward(self, *args: Any) -> Any:
        return self._forward(*args)


def calls(macs: int, function: Callable[..., Any], *shapes: Shape) -> Operation:
    return Operation(lambda: FunctionModule(function), shapes, macs)


def layer(macs: int, make: Callable[[], nn.Module], *shapes: Shape) -> Operation:
    return Operation(make, shapes, macs)


LINE, IMAGE, SOLID = (2, 4, 9), (2, 4, 9, 7), (2, 4, 5, 6, 7)

CONVOLUTIONS: dict[str, Operation] = {
    "conv1d": layer(2 * 6 * 7 * 4 * 3, lambda: nn.Conv1d(4, 6, 3), LINE),
    "conv1d, unbatched": layer(6 * 7 * 4 * 3, lambda: nn.Conv1d(4, 6, 3), LINE[1:]),
    "conv1d, causal": calls(2 * 6 * 9 * 4 * 3, lambda x, w: F.conv1d(F.pad(x, (2, 0)), w), LINE, (6, 4, 3)),
    "conv2d": layer(2 * 6 * 7 * 5 * 4 * 9, lambda: nn.Conv2d(4, 6, 3), IMAGE),
    "conv2d, unbatched": layer(6 * 7 * 5 * 4 * 9, lambda: nn.Conv2d(4, 6, 3), IMAGE[1:]),
    "conv2d, oblong kernel": layer(2 * 6 * 9 * 5 * 4 * 3, lambda: nn.Conv2d(4, 6, (1, 3)), IMAGE),
    "conv2d, grouped": layer(2 * 6 * 7 * 5 * 2 * 9, lambda: nn.Conv2d(4, 6, 3, groups=2), IMAGE),
    "conv2d, depthwise": layer(2 * 8 * 7 * 5 * 1 * 9, lambda: nn.Conv2d(4, 8, 3, groups=4), IMAGE),
    "conv2d, dilated": layer(2 * 6 * 5 * 3 * 4 * 9, lambda: nn.Conv2d(4, 6, 3, dilation=2), IMAGE),
    "conv2d, strided": layer(2 * 6 * 5 * 4 * 4 * 9, lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), IMAGE),
    "conv2d, same": layer(2 * 6 * 63 * 4 * 4, lambda: nn.Conv2d(4, 6, 2, padding="same"), IMAGE),
    "conv2d, valid": layer(2 * 6 * 8 * 6 * 4 * 4, lambda: nn.Conv2d(4, 6, 2, padding="valid"), IMAGE),
    **{
        f"conv2d, {mode}": layer(
            2 * 6 * 63 * 4 * 9, lambda mode=mode: nn.Conv2d(4, 6, 3, padding=1, padding_mode=mode), IMAGE
        )
        for mode in ("zeros", "circular", "reflect", "replicate")
    },
    "conv2d, of one pixel": layer(2 * 6 * 63 * 4, lambda: nn.Conv2d(4, 6, 1, bias=False), IMAGE),
    "conv2d, channels last": calls(
        2 * 6 * 35 * 4 * 9, lambda x, w: F.conv2d(x.to(memory_format=torch.channels_last), w), IMAGE, (6, 4, 3, 3)
    ),
    "conv2d, by keyword": calls(
        2 * 6 * 35 * 4 * 9, lambda x, w, b: F.conv2d(weight=w, bias=b, input=x), IMAGE, (6, 4, 3, 3), (6,)
    ),
    "conv3d": layer(2 * 6 * 3 * 4 * 5 * 4 * 27, lambda: nn.Conv3d(4, 6, 3), SOLID),
    "conv3d, unbatched": layer(6 * 3 * 4 * 5 * 4 * 27, lambda: nn.Conv3d(4, 6, 3), SOLID[1:]),
    "conv3d, depthwise": layer(2 * 4 * 60 * 27, lambda: nn.Conv3d(4, 4, 3, groups=4), SOLID),
    "conv_transpose1d": layer(2 * 4 * 9 * 6 * 3, lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), LINE),
    "conv_transpose2d": layer(2 * 4 * 63 * 6 * 9, lambda: nn.ConvTranspose2d(4, 6, 3), IMAGE),
    "conv_transpose2d, unbatched": layer(4 * 63 * 6 * 9, lambda: nn.ConvTranspose2d(4, 6, 3), IMAGE[1:]),
    "conv_transpose2d, output padding": layer(
        2 * 4 * 63 * 6 * 9, lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), IMAGE
    ),
    "conv_transpose2d, grouped and dilated": layer(
        2 * 4 * 63 * 3 * 9, lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2), IMAGE
    ),
    "conv_transpose3d": layer(2 * 4 * 210 * 6 * 8, lambda: nn.ConvTranspose3d(4, 6, 2, stride=2), SOLID),
    "torch.conv2d": calls(2 * 6 * 35 * 4 * 9, torch.conv2d, IMAGE, (6, 4, 3, 3)),
    "torch.convolution": calls(
        2 * 6 * 35 * 4 * 9,
        lambda x, w: torch.convolution(x, w, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1),
        IMAGE,
        (6, 4, 3, 3),
    ),
    "torch.convolution, transposed": calls(
        2 * 4 * 63 * 6 * 9,
        lambda x, w: torch.convolution(x, w, None, (1, 1), (0, 0), (1, 1), True, (0, 0), 1),
        IMAGE,
        (4, 6, 3, 3),
    ),
    "conv_tbc": calls(7 * 2 * 6 * 12, F.conv_tbc, (9, 2, 4), (3, 4, 6), (6,)),
    "unfold and a product": calls(2 * 6 * 35 * 36, lambda x, w: w @ F.unfold(x, 3), IMAGE, (6, 36)),
}

PRODUCTS: dict[str, Operation] = {
    "linear": layer(3 * 5 * 7, lambda: nn.Linear(5, 7), (3, 5)),
    "linear, without bias": layer(3 * 5 * 7, lambda: nn.Linear(5, 7, bias=False), (3, 5)),
    "linear, of a vector": layer(5 * 7, lambda: nn.Linear(5, 7), (5,)),
    "linear, of rank 5": layer(2 * 3 * 4 * 6 * 5 * 7, lambda: nn.Linear(5, 7), (2, 3, 4, 6, 5)),
    "linear, to one": calls(3 * 5, F.linear, (3, 5), (5,)),
    "linear, by keyword": calls(3 * 5 * 7, lambda x, w: F.linear(weight=w, input=x), (3, 5), (7, 5)),
    "mm": calls(2 * 3 * 4, torch.mm, (2, 3), (3, 4)),
    "mm, method": calls(2 * 3 * 4, torch.Tensor.mm, (2, 3), (3, 4)),
    "mm, by keyword": calls(2 * 3 * 4, lambda a, b: torch.mm(mat2=b, input=a), (2, 3), (3, 4)),
    "mm, out": calls(2 * 3 * 4, lambda a, b: torch.mm(a.detach(), b.detach(), out=a.new_empty(2, 4)), (2, 3), (3, 4)),
    "bmm": calls(5 * 2 * 3 * 4, torch.bmm, (5, 2, 3), (5, 3, 4)),
    "mv": calls(2 * 3, torch.mv, (2, 3), (3,)),
    "dot": calls(3, torch.dot, (3,), (3,)),
    "vdot": calls(3, torch.vdot, (3,), (3,)),
    "addmm": calls(2 * 3 * 4, torch.addmm, (4,), (2, 3), (3, 4)),
    "addmm, by keyword": calls(
        2 * 3 * 4, lambda b, x, y: torch.addmm(mat1=x, mat2=y, input=b, beta=2), (4,), (2, 3), (3, 4)
    ),
    "addmm_": calls(2 * 3 * 4, lambda b, x, y: b.clone().addmm_(x, y), (2, 4), (2, 3), (3, 4)),
    "addmv": calls(2 * 3, torch.addmv, (2,), (2, 3), (3,)),
    "addbmm": calls(5 * 2 * 3 * 4, torch.addbmm, (2, 4), (5, 2, 3), (5, 3, 4)),
    "baddbmm": calls(5 * 2 * 3 * 4, torch.baddbmm, (5, 2, 4), (5, 2, 3), (5, 3, 4)),
    "baddbmm, by keyword": calls(
        5 * 2 * 3 * 4, lambda c, x, y: torch.baddbmm(batch1=x, batch2=y, input=c), (1, 1, 4), (5, 2, 3), (5, 3, 4)
    ),
    "outer": calls(0, torch.outer, (3,), (4,)),
    "ger": calls(0, torch.ger, (3,), (4,)),
    "addr": calls(0, torch.addr, (3, 4), (3,), (4,)),
    "kron": calls(0, torch.kron, (2, 3), (4, 5)),
    "matmul, vector and vector": calls(3, torch.matmul, (3,), (3,)),
    "matmul, vector and matrix": calls(3 * 4, torch.matmul, (3,), (3, 4)),
    "matmul, matrix and vector": calls(2 * 3, torch.matmul, (2, 3), (3,)),
    "matmul, batch and vector": calls(5 * 2 * 3, torch.matmul, (5, 2, 3), (3,)),
    "matmul, vector and batch": calls(5 * 3 * 4, torch.matmul, (3,), (5, 3, 4)),
    "matmul, batch and matrix": calls(5 * 2 * 3 * 4, torch.matmul, (5, 2, 3), (3, 4)),
    "matmul, matrix and batch": calls(5 * 2 * 3 * 4, torch.matmul, (2, 3), (5, 3, 4)),
    "matmul, broadcast batches": calls(6 * 5 * 2 * 3 * 4, torch.matmul, (6, 1, 2, 3), (5, 3, 4)),
    "matmul, batches broadcast both ways": calls(7 * 6 * 5 * 24, torch.matmul, (7, 1, 5, 2, 3), (6, 1, 3, 4)),
    "@": calls(5 * 2 * 3 * 4, lambda a, b: a @ b, (5, 2, 3), (3, 4)),
    "@, transposed": calls(4 * 3 * 2, lambda a, b: b.mT @ a.mT, (2, 3), (3, 4)),
    "linalg.matmul": calls(5 * 2 * 3 * 4, torch.linalg.matmul, (5, 2, 3), (3, 4)),
    "linalg.vecdot": calls(5 * 3, torch.linalg.vecdot, (5, 3), (5, 3)),
    "linalg.vecdot, along an axis": calls(5 * 3, lambda a, b: torch.linalg.vecdot(a, b, dim=0), (5, 3), (5, 3)),
    "linalg.multi_dot": calls(2 * 3 * 4 + 2 * 4 * 5, lambda *m: torch.linalg.multi_dot(m), (2, 3), (3, 4), (4, 5)),
    "linalg.multi_dot, best from the right": calls(
        9 * 2 * 1 + 8 * 9 * 1, lambda *m: torch.linalg.multi_dot(m), (8, 9), (9, 2), (2,)
    ),
    "chain_matmul": calls(2 * 3 * 4 + 2 * 4 * 5, torch.chain_matmul, (2, 3), (3, 4), (4, 5)),
    "linalg.matrix_power": calls(3 * 4**3, lambda a: torch.linalg.matrix_power(a, 5), (4, 4)),  # a², a⁴, a⁴·a
    "matrix_power, of a batch": calls(2 * 3 * 4**3, lambda a: torch.matrix_power(a, 3), (3, 4, 4)),
    "inner": calls(2 * 4 * 3, torch.inner, (2, 3), (4, 3)),
    "inner, of vectors": calls(3, torch.inner, (3,), (3,)),
    "inner, of batches": calls(5 * 2 * 4 * 3, torch.inner, (5, 2, 3), (4, 3)),
    "tensordot, 2 axes": calls(2 * 5 * 3 * 4, torch.tensordot, (2, 3, 4), (3, 4, 5)),
    "tensordot, 1 axis": calls(2 * 3 * 5 * 4, lambda a, b: torch.tensordot(a, b, dims=1), (2, 3, 4), (4, 5)),
    "tensordot, listed axes": calls(
        3 * 5 * 2 * 4, lambda a, b: torch.tensordot(a, b, dims=([0, 2], [1, 0])), (2, 3, 4), (4, 2, 5)
    ),
    "tensordot, axes in a tensor": calls(
        3 * 5 * 2 * 4, lambda a, b: torch.tensordot(a, b, torch.tensor([[0, 2], [1, 0]])), (2, 3, 4), (4, 2, 5)
    ),
    "bilinear": layer(2 * 3 * 6 * 4 * 5, lambda: nn.Bilinear(4, 5, 6), (2, 3, 4), (2, 3, 5)),
    "cdist, few points": calls(0, torch.cdist, (2, 9, 4), (2, 8, 4)),
    "cdist, many points": calls(2 * 30 * 8 * (4 + 2), torch.cdist, (2, 30, 4), (2, 8, 4)),  # |x|², 1 beside x
    "cdist, many points in the city": calls(0, lambda a, b: torch.cdist(a, b, p=1.0), (2, 30, 4), (2, 8, 4)),
    "cdist, by products": calls(
        9 * 8 * (4 + 2),
        lambda a, b: torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist"),
        (9, 4),
        (8, 4),
    ),
    "cdist, many points one by one": calls(
        0,
        lambda a, b: torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"),
        (30, 4),
        (8, 4),
    ),
    "norm": calls(0, lambda a: a.norm(2, dim=1), (3, 8)),
    "torch.norm": calls(0, torch.norm, (3, 8)),
    "cov": calls(3 * 3 * 8, torch.cov, (3, 8)),
    "corrcoef": calls(3 * 3 * 8, torch.corrcoef, (3, 8)),
    "affine_grid": calls(2 * 6 * 7 * 2 * 3, lambda m: F.affine_grid(m, [2, 5, 6, 7], False), (2, 2, 3)),
    "affine_grid, of a volume": calls(
        2 * 5 * 6 * 7 * 3 * 4, lambda m: F.affine_grid(m, [2, 1, 5, 6, 7], False), (2, 3, 4)
    ),
    "cosine_similarity": calls(0, F.cosine_similarity, (3, 8), (3, 8)),
    "pairwise_distance": calls(0, F.pairwise_distance, (3, 8), (3, 8)),
    "pdist": calls(0, F.pdist, (30, 8)),
    "linalg.norm": calls(0, torch.linalg.norm, (3, 8)),
    "linalg.matrix_norm": calls(0, torch.linalg.matrix_norm, (3, 8)),
    "linalg.matrix_norm, of columns": calls(0, lambda a: torch.linalg.matrix_norm(a, ord=1), (3, 8)),
    "fold": calls(0, lambda a: F.fold(a, (5, 5), 2), (2, 8, 16)),
    "trace of a product by hand": calls(0, lambda a, b: (a * b.mT).sum(), (3, 4), (4, 3)),
}


def einsum(equation: str) -> Callable[..., Any]:
    return lambda *factors: torch.einsum(equation, *factors)


EINSUMS: dict[str, Operation] = {
    "einsum, one factor": calls(0, einsum("ij->ji"), (2, 3)),
    "einsum, trace": calls(0, einsum("ii->"), (3, 3)),
    "einsum, diagonal": calls(0, einsum("ii->i"), (3, 3)),
    "einsum, sum": calls(0, einsum("ij->"), (3, 4)),
    "einsum, product": calls(2 * 3 * 4, einsum("ij,jk->ik"), (2, 3), (3, 4)),
    "einsum, with spaces": calls(2 * 3 * 4, einsum(" i j , j k -> i k "), (2, 3), (3, 4)),
    "einsum, implicit result": calls(2 * 3 * 4, einsum("ij,jk"), (2, 3), (3, 4)),
    "einsum, implicit result in order": calls(2 * 3 * 4, einsum("bj,ja"), (2, 3), (3, 4)),
    "einsum, vectors": calls(3, einsum("i,i->"), (3,), (3,)),
    "einsum, vectors, implicit result": calls(3, einsum("i,i"), (3,), (3,)),
    "einsum, matrix and vector": calls(2 * 3, einsum("ij,j->i"), (2, 3), (3,)),
    "einsum, outer": calls(0, einsum("i,j->ij"), (2,), (3,)),
    "einsum, elementwise": calls(0, einsum("ij,ij->ij"), (2, 3), (2, 3)),
    "einsum, all summed": calls(2 * 3, einsum("ij,ij->"), (2, 3), (2, 3)),
    "einsum, summed before": calls(3 * 4, einsum("ij,jk->k"), (2, 3), (3, 4)),
    "einsum, batch": calls(5 * 2 * 3 * 4, einsum("bij,bjk->bik"), (5, 2, 3), (5, 3, 4)),
    "einsum, batch of one": calls(2 * 3 * 4, einsum("bij,bjk->bik"), (1, 2, 3), (1, 3, 4)),
    "einsum, one summed is an outer product": calls(0, einsum("bij,bjk->bik"), (5, 2, 1), (5, 1, 4)),
    "einsum, attention": calls(2 * 3 * 4 * 6 * 5, einsum("bhid,bhjd->bhij"), (2, 3, 4, 5), (2, 3, 6, 5)),
    "einsum, attention of a layout": calls(2 * 3 * 4 * 6 * 5, einsum("bihd,bjhd->bhij"), (2, 4, 3, 5), (2, 6, 3, 5)),
    "einsum, diagonal in a product": calls(3 * 4, einsum("ii,ij->j"), (3, 3), (3, 4)),
    "einsum, ellipsis": calls(2 * 3 * 4 * 5, einsum("...ij,jk->...ik"), (2, 3, 4), (4, 5)),
    "einsum, ellipsis on both sides": calls(6 * 2 * 3 * 4 * 5, einsum("...ij,...jk->...ik"), (6, 2, 3, 4), (2, 4, 5)),
    "einsum, ellipsis broadcast": calls(6 * 2 * 3 * 4 * 5, einsum("...ij,...jk->...ik"), (6, 1, 3, 4), (2, 4, 5)),
    "einsum, ellipsis, implicit result": calls(6 * 3 * 4 * 5, einsum("...ij,...jk"), (6, 3, 4), (6, 4, 5)),
    "einsum, ellipsis that is empty": calls(3 * 4 * 5, einsum("...ij,jk->...ik"), (3, 4), (4, 5)),
    "einsum, ellipsis summed": calls(6 * 4 * 5, einsum("...i,...ij->j"), (6, 4), (6, 4, 5)),
    "einsum, 3 factors": calls(2 * 3 * 4 + 2 * 4 * 5, einsum("ij,jk,kl->il"), (2, 3), (3, 4), (4, 5)),
    "einsum, 3 factors, bilinear": calls(6 * 2 * 3 * 4 + 6 * 2 * 4, einsum("bi,oij,bj->bo"), (6, 3), (2, 3, 4), (6, 4)),
    "einsum, 3 factors, the first two elementwise": calls(3 * 4, einsum("i,i,ij->j"), (3,), (3,), (3, 4)),
    "einsum, 4 factors": calls(
        2 * 3 * 4 + 2 * 4 * 5 + 2 * 5 * 6, einsum("ab,bc,cd,de->ae"), (2, 3), (3, 4), (4, 5), (5, 6)
    ),
    "einsum, factors in a list": calls(2 * 3 * 4, lambda *factors: torch.einsum("ij,jk->ik", factors), (2, 3), (3, 4)),
    "einsum, sublists": calls(2 * 3 * 4, lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [0, 2]), (2, 3), (3, 4)),
    "einsum, sublists, implicit result": calls(
        2 * 3 * 4, lambda a, b: torch.einsum(a, [0, 7], b, [7, 3]), (2, 3), (3, 4)
    ),
    "einsum, sublists with ellipses": calls(
        6 * 2 * 3 * 4, lambda a, b: torch.einsum(a, [..., 0, 1], b, [1, 2], [..., 0, 2]), (6, 2, 3), (3, 4)
    ),
}


def attend(**options: Any) -> Callable[..., Any]:
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)


def masked(kind: str) -> Callable[..., Any]:
    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(q.shape[-2], k.shape[-2], device=q.device, dtype=torch.bool if kind == "bool" else q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return run


HEADS, FAR = (2, 3, 5, 8), (2, 3, 7, 8)
PLAIN = 2 * 3 * 5 * 7 * (8 + 8)
ATTENTION: dict[str, Operation] = {
    "attention": calls(PLAIN, attend(), HEADS, FAR, FAR),
    "attention, by keyword": calls(
        PLAIN, lambda q, k, v: F.scaled_dot_product_attention(value=v, key=k, query=q), HEADS, FAR, FAR
    ),
    "attention, causal": calls(2 * 3 * 5 * 5 * 16, attend(is_causal=True), HEADS, HEADS, HEADS),
    "attention, scaled": calls(PLAIN, attend(scale=0.1), HEADS, FAR, FAR),
    "attention, dropout": calls(PLAIN, attend(dropout_p=0.5), HEADS, FAR, FAR),
    "attention, mask of booleans": calls(PLAIN, masked("bool"), HEADS, FAR, FAR),
    "attention, mask of floats": calls(PLAIN, masked("float"), HEADS, FAR, FAR),
    "attention, narrow values": calls(2 * 3 * 5 * 7 * (8 + 6), attend(), HEADS, FAR, (2, 3, 7, 6)),
    "attention, without heads": calls(2 * 5 * 7 * 16, attend(), (2, 5, 8), (2, 7, 8), (2, 7, 8)),
    "attention, of rank 5": calls(4 * PLAIN, attend(), (4, *HEADS), (4, *FAR), (4, *FAR)),
    "attention, of one sequence": calls(5 * 7 * 16, attend(), (5, 8), (7, 8), (7, 8)),
    "attention, broadcast": calls(PLAIN, attend(), HEADS, (1, 3, 7, 8), (1, 3, 7, 8)),
    "attention, grouped heads": calls(2 * 6 * 5 * 7 * 16, attend(enable_gqa=True), (2, 6, 5, 8), FAR, FAR),
    "attention, by hand": calls(
        PLAIN, lambda q, k, v: (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v, HEADS, FAR, FAR
    ),
}
TABLE = CONVOLUTIONS | PRODUCTS | EINSUMS | ATTENTION
