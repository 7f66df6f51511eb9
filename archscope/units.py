"""Formatting and parsing of numbers and shapes: `1.81 G`, `162 KiB`, `16×24×24`; `12.4M` → WrittenFigure, `2%` →
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
"""Enough digits for all figures."""
MAX_FIGURE = 1 << 128
"""An upper limit of all figures of networks."""
MAX_FIGURE_LENGTH = 40
"""The maximum length of a figure in a text."""
PERCENT_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*%")
FIGURE_TEXT = re.compile(r"([+-]?\d[\d_]*(?:\.\d+)?)\s*([kKMGTP]?)")


def format_count(number: int) -> str:
    """Return all digits, with separators of thousands: `1,814,073,344`."""
    return f"{number:,}"


def format_signed(number: int) -> str:
    """Return a difference with its sign: `+8,448`, `-12`."""
    return f"{number:+,}"


def format_si(number: int) -> str:
    """Return at least three digits with an SI prefix: `1.81 G`, `120.4 M`, `41.5 k`; numbers below 1000 as they are."""
    return _format_scaled(number, 1000, SI_PREFIXES, decimals=(2, 1, 1))


def format_bytes(number: int) -> str:
    """Return bytes with a binary prefix: `162 KiB`, `97.5 MiB`."""
    return _format_scaled(number, 1024, BYTE_UNITS, decimals=(2, 1, 0))


def _format_scaled(number: int, base: int, prefixes: Sequence[str], *, decimals: tuple[int, int, int]) -> str:
    """Return `number` in the first unit in which it is below `base` after rounding; `decimals` for 1, 2 and 3
    integer digits."""
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
    """Return `value` rounded; the number of integer digits *after* rounding selects the decimals (9.996 → 10.0)."""
    for limit, places in zip((10, 100, None), decimals, strict=True):
        rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, WIDE_CONTEXT)
        if limit is None or abs(rounded) < limit:
            return str(rounded)
    raise AssertionError("the last limit takes everything")


def format_share(part: int, whole: int) -> str:
    """Return a percentage, `11.4 %`; empty if the part is zero, `<0.1 %` if it only rounds to zero."""
    if not part or not whole:
        return ""
    percent = _round_digits(Decimal(100 * part) / whole, (1, 1, 1))
    return f"{percent} %" if percent != "0.0" else "<0.1 %"


def format_change(was: int | None, now: int | None) -> str:
    """Return a relative change: `+8.7 %`, `−12.5 %`, `=` if nothing changed, `?` if a figure is not known."""
    if was is None or now is None:
        return "?"
    part = format_share(abs(now - was), was) or format_count(abs(now - was))
    return "=" if was == now else f"{'+' if now > was else '−'}{part}"


def fraction(part: int, whole: int) -> float | None:
    """Return part / whole; None if the whole is 0."""
    return part / whole if whole else None


def format_ratio(larger: int, smaller: int) -> str:
    """Return `9.68×`: three digits, integers from 100 on; `<1.01×` if it only rounds to one."""
    text = _round_digits(Decimal(larger) / smaller, (2, 1, 0)) + "×"
    return "<1.01×" if text == "1.00×" and larger != smaller else text


def format_quotient(number: int, divisor: int) -> str:
    """Return `197` if the quotient is an integer, else three digits: `2.25`."""
    whole, rest = divmod(number, divisor)
    return _round_digits(Decimal(number) / divisor, (2, 1, 0)) if rest else format_count(whole)


def format_signed_si(number: int) -> str:
    """Return a difference with an SI prefix: `+8.45 k`, `−6.28 G`."""
    return f"{'−' if number < 0 else '+'}{format_si(abs(number))}"


def format_duration(seconds: float) -> str:
    """Return a time with three digits: `1.24 s`, `23.1 ms`, `840 µs`."""
    value = Decimal(seconds) * 1_000_000
    for unit in ("µs", "ms"):
        text = _round_digits(value, (2, 1, 0))
        if Decimal(text) < 1000:
            return f"{text} {unit}"
        value /= 1000
    return f"{_round_digits(value, (2, 1, 0))} s"


def format_about(number: int) -> str:
    """Return a number rounded down to three significant digits: `412`, `2,210`, `531,000`."""
    unit = 10 ** max(0, len(str(number)) - 3)
    return format_count(number // unit * unit)


def format_rate(per_second: float, unit: str) -> str:
    """Return a rate with three digits and an SI prefix: `1.24 TFLOP/s`, `38.2 GB/s`."""
    value, text = Decimal(per_second), ""
    for prefix in SI_PREFIXES:
        text = f"{_round_digits(value, (2, 1, 0))} {prefix}{unit}"
        if Decimal(text.partition(" ")[0]) < 1000:
            return text
        value /= 1000
    return text


def format_factor(factor: float) -> str:
    """Return a factor with three digits: `1.74×`."""
    return f"{_round_digits(Decimal(factor), (2, 1, 0))}×"


def format_decimal(value: float) -> str:
    """Return the shortest text for a float, `0.1`, `1e-6`, `500000`, `1e6`; at most nine digits, else six."""
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
    """Return `16×24×24`; `scalar` for a tensor without dimensions."""
    return "×".join(map(str, dims)) or "scalar"


def short_repr(value: object) -> str:
    """Return the repr of a value on one line, cut to 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # of an integer with too many digits
        text = "a number with thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}…"


def torch_name(value: object) -> Any:
    """Return the name of a torch dtype or device, `float16`, `cuda:0`; other values unchanged."""
    ours = type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "device")
    return str(value).removeprefix("torch.") if ours else value


@dataclass(frozen=True)
class WrittenFigure:
    """A number as it was written: its `value`, and `step`, the weight of its last written digit."""

    text: str
    value: Decimal
    step: Decimal

    def equals(self, number: int) -> bool:
        """Return whether `number`, rounded to the written digits, is this figure (of an exact half, either
        neighbour)."""
        return 2 * abs(number - self.value) <= self.step if self.step > 1 else number == self.value

    def __str__(self) -> str:
        return self.text


def parse_figure(text: str) -> WrittenFigure:
    """Return the figure of a text: `12.4M`, `1.81 G`, `11_689_512`; without a prefix it is exact.

    Raises ValueError if the text is not a figure, or its value not an integer (`12.4`).
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
    """Return an upper limit: an integer, or a figure such as `5M`. Raises ValueError."""
    figure = value if isinstance(value, WrittenFigure) else None
    if (
        isinstance(value, (int, str))
        and not isinstance(value, bool)
        and (isinstance(value, str) or abs(value) < MAX_FIGURE)
    ):
        figure = parse_figure(str(value))
    if figure is None or figure.value < 0:
        raise ValueError(f"{short_repr(value)} is not a limit such as 5M or 5_000_000")
    return figure


def parse_tolerance(value: object) -> Decimal:
    """Return a tolerance as a fraction: `2%`, `0.02` and 0.02 → 0.02.

    Raises ValueError, also for a bare number from 1 on, which is probably meant as percent.
    """
    known = isinstance(value, (float, str, Decimal)) or (isinstance(value, int) and abs(value) < MAX_FIGURE)
    text = str(value).strip() if known and not isinstance(value, bool) else ""
    text = text if len(text) <= MAX_FIGURE_LENGTH else ""
    percent = PERCENT_PATTERN.fullmatch(text)
    if percent:
        return Decimal(percent[1]) / 100
    if re.fullmatch(r"\d*\.?\d+(?:[eE]-\d{1,3})?", text) and Decimal(text) < 1:
        return Decimal(text)
    raise ValueError(f"{short_repr(value)} is not a tolerance such as 2% or 0.02")
