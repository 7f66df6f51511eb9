"""Tests of the formatting of numbers, and of the comparison of numbers with rounded figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope import units


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_994, "9.99 k"),
        (9_996, "10.0 k"),
        (41_514, "41.5 k"),
        (2_013_184, "2.01 M"),
        (12_443_648, "12.4 M"),
        (120_422_400, "120.4 M"),
        (999_949, "999.9 k"),
        (999_951, "1.00 M"),
        (1_814_073_344, "1.81 G"),
        (17_564_000_000, "17.6 G"),
        (10**19, "10.0 E"),
        (10**22, "10000.0 E"),
        (-2_013_184, "-2.01 M"),
    ],
)
def test_human(number: int, text: str) -> None:
    assert units.format_si(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (166_056, "162 KiB"),
        (102_228_128, "97.5 MiB"),
        (1_048_575, "1.00 MiB"),
        (3 * 1024**3, "3.00 GiB"),
    ],
)
def test_size(number: int, text: str) -> None:
    assert units.format_bytes(number) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (230_400, 2_013_184, "11.4 %"),
        (1, 1, "100.0 %"),
        (0, 7, ""),
        (0, 0, ""),
        (1, 2001, "<0.1 %"),
        (1, 2000, "0.1 %"),
    ],
)
def test_share(part: int, whole: int, text: str) -> None:
    assert units.format_share(part, whole) == text


@pytest.mark.parametrize(
    ("larger", "smaller", "text"),
    [
        (120_422_400, 12_443_648, "9.68×"),
        (3, 2, "1.50×"),
        (1234, 10, "123×"),
        (9_996, 1000, "10.0×"),
        (1001, 1000, "<1.01×"),
        (7, 7, "1.00×"),
        (0, 5, "0.00×"),
    ],
)
def test_ratio(larger: int, smaller: int, text: str) -> None:
    assert units.format_ratio(larger, smaller) == text


@pytest.mark.parametrize(
    ("was", "now", "text"),
    [
        (1000, 1087, "+8.7 %"),
        (1000, 875, "−12.5 %"),
        (7, 7, "="),
        (0, 0, "="),
        (0, 1200, "+1,200"),
        (10**9, 10**9 + 1, "+<0.1 %"),
        (None, 3, "?"),
        (3, None, "?"),
    ],
)
def test_change(was: int | None, now: int | None, text: str) -> None:
    assert units.format_change(was, now) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (0.10000000149011612, "0.1"),
        (2 / 110, "0.0181818"),
        (0.1234567, "0.1234567"),
        (2.0, "2"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e6, "1e6"),
        (1234567.0, "1234567"),
        (500000.0, "500000"),
        (1e-6, "1e-6"),
        (2.5e-5, "2.5e-5"),
        (0.0001, "0.0001"),
        (1e300, "1e300"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
    ],
)
def test_decimal(value: float, text: str) -> None:
    assert units.format_decimal(value) == text


def test_count_and_shape() -> None:
    assert units.format_count(1_814_073_344) == "1,814,073,344"
    assert (units.format_signed(8448), units.format_signed(-12)) == ("+8,448", "-12")
    assert units.format_shape((16, 24, 24)) == "16×24×24"
    assert units.format_shape(()) == "scalar"


@pytest.mark.parametrize(
    ("figure", "number", "equal"),
    [
        ("11_689_512", 11_689_512, True),
        ("11_689_512", 11_689_513, False),
        ("144000", 144_000, True),
        ("1.81G", 1_814_073_344, True),
        ("1.81 G", 1_814_073_344, True),
        ("4.09G", 4_089_184_256, True),
        ("4.08G", 4_089_184_256, False),
        ("3.66G", 3_663_761_408, True),
        ("7.80G", 7_801_405_440, True),
        ("7.8G", 7_801_405_440, True),
        ("7.80G", 7_811_405_440, False),
        ("12.4M", 12_443_648, True),
        ("12.4M", 12_450_000, True),
        ("12.4M", 12_450_001, False),
        ("12.5M", 12_449_999, False),
        ("5M", 5_499_999, True),
        ("2k", 2_048, True),
        ("2.000K", 2_000, True),
        ("2.000K", 2_001, False),
    ],
)
def test_a_figure_equals_to_the_digits_written(figure: str, number: int, equal: bool) -> None:
    assert units.parse_figure(figure).equals(number) is equal


@pytest.mark.parametrize("text", ["", "M", "12.4", "1.2.3M", "12.4 MB", "1e6", "> 5M", "1.2345k", "0x10"])
def test_other_texts_are_not_figures(text: str) -> None:
    with pytest.raises(ValueError, match=r"figure|fraction"):
        units.parse_figure(text)


@pytest.mark.law
@given(st.integers(0, 10**16))
def test_formatted_numbers_are_parsed_again(number: int) -> None:
    assert units.parse_figure(str(number)).equals(number)
    if 1000 <= number < 10**15:
        assert units.parse_figure(units.format_si(number)).equals(number)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000012, "1.20 µs"),
        (0.0009994, "999 µs"),
        (0.0009996, "1.00 ms"),
        (0.0231, "23.1 ms"),
        (0.99996, "1.00 s"),
        (1.236, "1.24 s"),
        (4210.4, "4210 s"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


def test_quotients_changes_and_factors() -> None:
    assert [units.format_quotient(*pair) for pair in ((394, 2), (6272, 2), (9, 4), (1, 3))] == [
        "197",
        "3,136",
        "2.25",
        "0.33",
    ]
    assert [units.format_signed_si(number) for number in (8448, -6_280_000_000, 7)] == ["+8.45 k", "−6.28 G", "+7"]
    assert [units.format_factor(factor) for factor in (1.0, 0.5, 12.34, 123.4)] == ["1.00×", "0.50×", "12.3×", "123×"]


@pytest.mark.parametrize(
    ("per_second", "unit", "text"),
    [
        (0, "B/s", "0.00 B/s"),
        (999.4, "B/s", "999 B/s"),
        (999.6, "B/s", "1.00 kB/s"),
        (38.2e9, "B/s", "38.2 GB/s"),
        (1.236e12, "FLOP/s", "1.24 TFLOP/s"),
        (989.4e12, "FLOP/s", "989 TFLOP/s"),
        (1.2e15, "FLOP/s", "1.20 PFLOP/s"),
        (2.5e21, "FLOP/s", "2500 EFLOP/s"),
    ],
)
def test_rate(per_second: float, unit: str, text: str) -> None:
    assert units.format_rate(per_second, unit) == text
