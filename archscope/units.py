"""Numbers and shapes as text, and read back: int → `1.81 G`, `162 KiB`, `16×24×24`; `12.4M` → WrittenFigure, `2%` →
0.02."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

SI_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
PREFIX_EXPONENTS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15}
WIDE_CONTEXT = Context(prec=100)
"""Digits enough for every figure that is shown."""
MAX_FIGURE = 1 << 128
"""No figure of a network is larger."""
MAX_FIGURE_LENGTH = 40
"""How long a figure may be as it is written."""
PERCENT_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*%")
FIGURE_TEXT = re.compile(r"([+-]?\d[\d_]*(?:\.\d+)?)\s*([kKMGTP]?)")


def format_count(number: int) -> str:
    """Every digit, in threes: `1,814,073,344`."""
    return f"{number:,}"


def format_signed(number: int) -> str:
    """A change: `+8,448`, `-12`."""
    return f"{number:+,}"


def format_si(number: int) -> str:
    """Three digits or more and an SI prefix: `1.81 G`, `120.4 M`, `41.5 k`; below a thousand the number itself."""
    return _format_scaled(number, 1000, SI_PREFIXES, decimals=(2, 1, 1))


def format_bytes(number: int) -> str:
    """Bytes with a binary prefix: `162 KiB`, `97.5 MiB`."""
    return _format_scaled(number, 1024, BYTE_UNITS, decimals=(2, 1, 0))


def _format_scaled(number: int, base: int, prefixes: Sequence[str], *, decimals: tuple[int, int, int]) -> str:
    """`number` in the first unit that leaves less than `base` after rounding; decimals for 1, 2 and 3 whole digits."""
    if abs(number) < base:
        return f"{number} {prefixes[0]}".rstrip()
    value, text = Decimal(number), ""
    for prefix in prefixes[1:]:
        value /= base
        text = _round_digits(value, decimals)
        if abs(Decimal(text)) < base:
            return f"{text} {prefix}"
    return f"{text} {prefixes[-1]}"


def _round_digits(value: Decimal, decimals: Sequence[int]) -> str:
    """`value` with as many decimals as its whole digits *after* rounding leave room for (9.996 → 10.0)."""
    for limit, places in zip((10, 100, None), decimals, strict=True):
        rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, WIDE_CONTEXT)
        if limit is None or abs(rounded) < limit:
            return str(rounded)
    raise AssertionError("the last limit takes everything")


def format_share(part: int, whole: int) -> str:
    """`11.4 %`; nothing where the part is zero, `<0.1 %` where it only rounds to zero."""
    if not part or not whole:
        return ""
    percent = _round_digits(Decimal(100 * part) / whole, (1, 1, 1))
    return f"{percent} %" if percent != "0.0" else "<0.1 %"


def format_change(was: int | None, now: int | None) -> str:
    """`+8.7 %`, `−12.5 %`, `=` where nothing changed, `?` where one of them is not known."""
    if was is None or now is None:
        return "?"
    part = format_share(abs(now - was), was) or format_count(abs(now - was))
    return "=" if was == now else f"{'+' if now > was else '−'}{part}"


def fraction(part: int, whole: int) -> float | None:
    """part / whole, 0 to 1; None of nothing."""
    return part / whole if whole else None


def format_ratio(larger: int, smaller: int) -> str:
    """`9.68×`: three digits, whole numbers from a hundred on; `<1.01×` where it only rounds to one."""
    text = _round_digits(Decimal(larger) / smaller, (2, 1, 0)) + "×"
    return "<1.01×" if text == "1.00×" and larger != smaller else text


def format_quotient(number: int, divisor: int) -> str:
    """`197` where it is whole, else three digits: `2.25`."""
    whole, rest = divmod(number, divisor)
    return _round_digits(Decimal(number) / divisor, (2, 1, 0)) if rest else format_count(whole)


def format_signed_si(number: int) -> str:
    """A change with an SI prefix: `+8.45 k`, `−6.28 G`."""
    return f"{'−' if number < 0 else '+'}{format_si(abs(number))}"


def format_duration(seconds: float) -> str:
    """`1.24 s`, `23.1 ms`, `840 µs`: three digits."""
    value = Decimal(seconds) * 1_000_000
    for unit in ("µs", "ms"):
        text = _round_digits(value, (2, 1, 0))
        if Decimal(text) < 1000:
            return f"{text} {unit}"
        value /= 1000
    return f"{_round_digits(value, (2, 1, 0))} s"


def format_about(number: int) -> str:
    """`412`, `2,210`, `531,000`: not more than three digits that count, never more than the number."""
    unit = 10 ** max(0, len(str(number)) - 3)
    return format_count(number // unit * unit)


def format_rate(per_second: float, unit: str) -> str:
    """`1.24 TFLOP/s`, `38.2 GB/s`: three digits, decimal prefixes."""
    value, text = Decimal(per_second), ""
    for prefix in SI_PREFIXES:
        text = f"{_round_digits(value, (2, 1, 0))} {prefix}{unit}"
        if Decimal(text.partition(" ")[0]) < 1000:
            return text
        value /= 1000
    return text


def format_factor(factor: float) -> str:
    """`1.74×`: three digits."""
    return f"{_round_digits(Decimal(factor), (2, 1, 0))}×"


def format_decimal(value: float) -> str:
    """`0.1`, `1e-6`, `500000`, `1e6`: as short as it is told apart, else six digits."""
    exact = repr(value or 0.0)
    text = exact if sum(map(str.isdigit, exact.partition("e")[0].strip("-0."))) <= 9 else f"{value:.6g}"
    if not math.isfinite(value):
        return text
    digits, _, exponent = f"{Decimal(text):e}".partition("e")
    plain = text.removesuffix(".0") if "e" not in text else f"{Decimal(text):f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    large_or_small = value != 0 and not 1e-4 <= abs(value) < 1e6
    scientific = f"{digits}e{int(exponent)}"
    return scientific if large_or_small and len(scientific) < len(plain) else plain


def format_shape(dims: Sequence[int]) -> str:
    """`16×24×24`; a tensor without dimensions is a `scalar`."""
    return "×".join(map(str, dims)) or "scalar"


def short_repr(value: object) -> str:
    """A value as messages quote it, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # of an integer with too many digits
        text = "a number with thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}…"


def torch_name(value: object) -> Any:
    """What a dtype or device of torch's is called, `float16`, `cuda:0`; other values as they are."""
    ours = type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "device")
    return str(value).removeprefix("torch.") if ours else value


@dataclass(frozen=True)
class WrittenFigure:
    """A number as somebody wrote it: `value`, and `step`, the weight of the last digit written."""

    text: str
    value: Decimal
    step: Decimal

    def equals(self, number: int) -> bool:
        """Whether `number`, rounded to the digits written, is this figure (either neighbour of an exact half is)."""
        return 2 * abs(number - self.value) <= self.step if self.step > 1 else number == self.value

    def __str__(self) -> str:
        return self.text


def parse_figure(text: str) -> WrittenFigure:
    """Reads `12.4M`, `1.81 G`, `11_689_512`; a figure without a prefix is exact.

    Raises ValueError where the text is no such figure, or names a fraction of one (`12.4`).
    """
    match = FIGURE_TEXT.fullmatch(text.strip()) if len(text) <= MAX_FIGURE_LENGTH else None
    if not match:
        raise ValueError(f"{short_repr(text)} is not a figure such as 12.4M, 1.81G or 11_689_512")
    digits, prefix = match[1].replace("_", ""), match[2]
    value = Decimal(digits).scaleb(PREFIX_EXPONENTS[prefix])
    if value != value.to_integral_value():
        raise ValueError(f"{text!r} is a fraction; parameters and MACs are whole numbers")
    decimals = len(digits.partition(".")[2])
    return WrittenFigure(text.strip(), value, Decimal(1).scaleb(PREFIX_EXPONENTS[prefix] - decimals))


def parse_limit(value: object) -> WrittenFigure:
    """The most that something may have: a whole number, or a figure such as `5M`. Raises ValueError."""
    figure = value if isinstance(value, WrittenFigure) else None
    if (
        isinstance(value, (int, str))
        and not isinstance(value, bool)
        and (isinstance(value, str) or abs(value) < MAX_FIGURE)
    ):
        figure = parse_figure(str(value))
    if figure is None or figure.value < 0:
        raise ValueError(f"{short_repr(value)} is no limit such as 5M or 5_000_000")
    return figure


def parse_tolerance(value: object) -> Decimal:
    """`2%`, `0.02` and 0.02 → 0.02. Raises ValueError; a bare number from 1 on is more likely meant as percent."""
    known = isinstance(value, (float, str, Decimal)) or (isinstance(value, int) and abs(value) < MAX_FIGURE)
    text = str(value).strip() if known and not isinstance(value, bool) else ""
    text = text if len(text) <= MAX_FIGURE_LENGTH else ""
    percent = PERCENT_PATTERN.fullmatch(text)
    if percent:
        return Decimal(percent[1]) / 100
    if re.fullmatch(r"\d*\.?\d+(?:[eE]-\d{1,3})?", text) and Decimal(text) < 1:
        return Decimal(text)
    raise ValueError(f"{short_repr(value)} is no tolerance such as 2% or 0.02")
