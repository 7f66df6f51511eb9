"""The numbers of a view that do not multiply to the input's sizes: `512 = 6·85 + 2`.

sizes that a view states, sizes of its input ─ without equal ones at both ends ─→ ViewFactors of each axis
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

from archscope.trace import Shape


@dataclass(frozen=True)
class ViewFactors:
    """An axis, or a few together, that a view should split or merge: `size` is the actual product, `declared` was
    written.

    have: the axes of the input, whose product is `size`; a single one if the view should split it. axis: the first of
    them. divisor: the number of `declared` that should divide `size` and does not; 0 for none. is_window: the divisor
    is the size of windows, else the number of heads.
    """

    size: int
    declared: tuple[int, ...]
    axis: int
    have: Shape
    divisor: int = 0
    is_window: bool = False

    @property
    def rest(self) -> int:
        return self.size - prod(self.declared)

    def __str__(self) -> str:
        """Return `512 = 6·85 + 2` or `323 = 19·17 is not 13`."""
        if self.divisor:
            return f"{self.size} = {product_text(self.declared)} + {self.rest}"
        return f"{self.size_text} is not {product_text(self.declared)}{self.common_factor_text}"

    @property
    def common_factor_text(self) -> str:
        """For a single number, ` = 47·60`: what it has in common with the actual axes."""
        common = next((size for size in reversed(self.have) if size > 1 and self.declared[-1] % size == 0), 0)
        alone = len(self.declared) == 1 and len(self.have) == 2 and common
        return f" = {self.declared[0] // common}·{common}" if alone else ""

    @property
    def size_text(self) -> str:
        """`323 = 19·17`."""
        return f"{self.size} = {product_text(self.have)}" if len(self.have) > 1 else str(self.size)


def product_text(numbers: Sequence[int]) -> str:
    """Return a product, such as `19·17`."""
    return "·".join(map(str, numbers))


def find_view_factors(sizes: Sequence[int], shape: Shape, windows: Collection[int] = ()) -> list[ViewFactors]:
    """Return the axes at which a view's sizes and its input's differ; [] if they have no axis in common, or one is -1
    or 0.

    windows: the axes that are cut in windows, whose size comes after their number; others are split into heads, whose
    number comes first.
    """
    if prod(sizes) == prod(shape) or min(sizes, default=0) < 1 or min(shape, default=0) < 1:
        return []
    start = 0
    while start < min(len(sizes), len(shape)) and sizes[start] == shape[start]:
        start += 1
    end = 0
    while end < min(len(sizes), len(shape)) - start and sizes[-1 - end] == shape[-1 - end]:
        end += 1
    declared, have = tuple(sizes[start : len(sizes) - end]), shape[start : len(shape) - end]
    if not declared or not have or (start == 0 and len(have) == len(shape) > 1 and len(declared) == len(sizes)):
        return []
    if len(have) == 1:
        return [axis_factors(have, declared, start, is_window=start in windows)]
    if len(declared) == 2 * len(have):  # every axis is cut in two
        pairs = [(size, declared[2 * n : 2 * n + 2]) for n, size in enumerate(have)]
        cut = [((size,), pair, start + n) for n, (size, pair) in enumerate(pairs) if prod(pair) != size]
        return [axis_factors(*wrong_pair, is_window=wrong_pair[-1] in windows) for wrong_pair in cut]
    return [axis_factors(have, declared, start, is_window=False)]


def axis_factors(have: Shape, declared: tuple[int, ...], axis: int, *, is_window: bool) -> ViewFactors:
    """Return an axis and the numbers that should be its factors, without those that divide it."""
    left, rest = list(declared), prod(have)
    while len(left) > 2 and rest % left[0] == 0:
        rest //= left.pop(0)
    if len(left) == 2 and 0 < rest - prod(left) < max(left):
        first, second = left
        divisor, quotient = (second, first) if is_window else (first, second)
        if rest // divisor == quotient:
            return ViewFactors(rest, (first, second), axis, have, divisor, is_window)
    return ViewFactors(prod(have), declared, axis, have)


def nearest_multiples(size: int, divisor: int) -> tuple[int, int]:
    """Return the multiples of a number next to a size: below it and above it."""
    below = size // divisor * divisor
    return below, below + divisor
