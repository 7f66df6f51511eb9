"""The cost of rows: kernels' shapes → formulas → multiply-adds (MACs); a row's values → bytes. Does not import torch.

    Row ─ kernels ─ priced by a formula, free, or unpriced ─→ Cost ─ sum ─→ Cost

MACs are the multiply-adds of matrix products and convolutions, and nothing else. Biases, norms, pooling, activations
and interpolation are free. FLOPs = 2 × MACs. Bytes are a row's own traffic: every distinct input is read once, every
output is written once; a view moves nothing.
"""

from __future__ import annotations

from archscope.cost.formulas import FORMULAS, Formula
from archscope.cost.kernels_without_formula import FREE_KERNELS, UNPRICED_KERNELS
from archscope.cost.pricing import Cost, plain_name, price_row, price_rows

__all__ = ["FORMULAS", "FREE_KERNELS", "UNPRICED_KERNELS", "Cost", "Formula", "plain_name", "price_row", "price_rows"]
