"""Options of the commands: their texts → checked Python values, by the names that the library uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from archscope import units
from archscope.cli.formats import CHECK_FORMATS, FORMAT_BY_SUFFIX, REPORT_FORMATS
from archscope.cli.input_option import input_callback, with_library_inputs
from archscope.cli.output import echo
from archscope.cli.refused_options import refuse_given_twice
from archscope.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from archscope.render.table_content import TableOptions

Command = Callable[..., None]
INPUT_HELP = "1x3x224x224, x=int64:1x128:0..50257, batch.image=1x3x32x32; scale==2.0 is a plain value."
LITERAL_WORDS = {"true": True, "false": False, "null": None, "none": None}
NUMBER = re.compile(r"[+-]?(\d[\d_]*|0[xX][\da-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+)")
MOST_DIGITS = 200
"""The most digits of a number: more than any figure of a net has."""
LEVEL_CHOICES = ("note", "warning", "error")


def settings_callback(
    read: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, Sequence[str]], dict[str, Any]]:
    """Return a callback that parses `name=value` to {name: value}, with values parsed by `read`."""

    def called(_: click.Context, option: click.Parameter, texts: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals or not name.strip():
                raise click.BadParameter(f"{text!r} is not name=value", param=option)
            if name.strip() in found:
                raise click.BadParameter(f"{name.strip()} is given twice", param=option)
            try:
                found[name.strip()] = read(value.strip())
            except ValueError as error:
                raise click.BadParameter(str(error), param=option) from None
        return found

    return called


def parse_scalar(text: str) -> Any:
    """Return a param of a spec: numbers, lists, true, false and null are parsed, any other text is left to the
    language.
    """
    if text.lower() in LITERAL_WORDS:
        return LITERAL_WORDS[text.lower()]
    if len(text) > MOST_DIGITS and NUMBER.fullmatch(text):
        raise ValueError(f"{text[:20]}… is a number of more than {MOST_DIGITS} digits")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def parse_value(text: str) -> Any:
    """Return an argument of a Python target: as `parse_scalar`, also words in lists and mappings. Raises ValueError
    for brackets that cannot be parsed.
    """
    read = parse_scalar(text)
    if not isinstance(read, str) or not text.startswith(("[", "{", "(")):
        return read
    try:
        return ast.literal_eval(LiteralWords().visit(ast.parse(text, mode="eval")))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} is not a list or mapping such as [3, 4], [relu, null] or {{width: 64}}") from None


class LiteralWords(ast.NodeTransformer):
    """Replaces names in a literal by strings, and true, false and null by their values."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        return ast.copy_location(ast.Constant(LITERAL_WORDS.get(node.id.lower(), node.id)), node)


def parse_columns(_: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """Return the column names in `path,macs`. Raises BadParameter for unknown ones."""
    from archscope.render.columns import COLUMN_NAMES

    return parse_column_names(COLUMN_NAMES, option, text)


def parse_cost_columns(_: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """Return column names, also those of a comparison. Raises BadParameter for unknown ones."""
    from archscope.render import columns, comparisons

    known = dict.fromkeys([*columns.COLUMN_NAMES, *comparisons.COMPARISON_NAMES])
    return parse_column_names(tuple(known), option, text)


def parse_column_names(known: Sequence[str], option: click.Parameter, text: str) -> tuple[str, ...]:
    """Return the column names in a text. Raises BadParameter for names that are not in `known`."""
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"columns: {', '.join(known)}"
            raise click.BadParameter(f"no column {name!r}; {hint}", param=option)
    return names


def list_callback(read: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """Return a callback that parses `1,8,64` to distinct values; a ValueError is a wrong option."""

    def called(_: click.Context, option: click.Parameter, text: str) -> tuple[Any, ...]:
        try:
            return tuple(dict.fromkeys(read(item.strip()) for item in text.split(",") if item.strip()))
        except ValueError as error:
            raise click.BadParameter(str(error), param=option) from None

    return called


def parse_codes(_: click.Context, option: click.Parameter, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the codes in `a,b` and another `c` as (a, b, c). Raises BadParameter for unknown ones."""
    from archscope.checks.selection import RULE_NAMES, rule_hint

    names = tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
    for name in names:
        if name not in RULE_NAMES:
            raise click.BadParameter(f"there is no rule {name!r}\n  help: {rule_hint(name)}", param=option)
    return names


def value_callback(reader: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback that parses a text, if one is given; a ValueError is a wrong option."""

    def read(_: click.Context, option: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else reader(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param=option) from None

    return read


def pairs_option(flag: str, read: Callable[[str], Any], help: str) -> Callable[[Command], Command]:
    return click.option(flag, multiple=True, metavar="NAME=VALUE", callback=settings_callback(read), help=help)


def combine_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return several options as one decorator, in the order of the help text."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


INPUT_OPTIONS = (
    pairs_option("--set", parse_scalar, "Give a param of the spec a value."),
    pairs_option("--arg", parse_value, "Give an argument of a Python target a value."),
    click.option(
        "--input", "input", multiple=True, metavar="SHAPE", callback=input_callback(parse_value), help=INPUT_HELP
    ),
)
COMMON_OPTIONS = (
    click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Initialise as PyTorch does, from this seed."
    ),
    click.option(
        "--allow-python",
        is_flag=True,
        help="Run the Python code that a spec's `python:` names, and in check pyproject.toml.",
    ),
    click.option("--quiet", is_flag=True, help="No warnings."),
    click.option("-v", "--verbose", is_flag=True, help="Report progress."),
)
TARGET_OPTIONS = combine_options(*INPUT_OPTIONS, *COMMON_OPTIONS)
RUN_OPTIONS = combine_options(
    *INPUT_OPTIONS,
    click.option("--batch", type=click.IntRange(1), metavar="N", help="Batch size."),
    click.option(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda[:i] or meta; auto: CUDA if there is one."
    ),
    click.option("--dtype", metavar="NAME", help="float32, bfloat16, float16, …"),
    click.option(
        "--train",
        is_flag=True,
        help="Training mode, eval otherwise; summary and flops, not --cross-check, show the backward pass.",
    ),
    *COMMON_OPTIONS,
)


def format_option(formats: Sequence[str]) -> Callable[[Any], Any]:
    """Return the option `--format`; the default follows from the suffix of `--output`, else it is a table."""

    def chosen(context: click.Context, _: click.Parameter, format: str | None) -> str:
        output = context.params.get("output") or ""
        by_name = FORMAT_BY_SUFFIX.get(PurePath(output).suffix.lower(), formats[0])
        if format is None and by_name not in formats:
            able = sorted((s for s, name in FORMAT_BY_SUFFIX.items() if name in formats), key=lambda s: s != ".json")
            suggestion = f"a name that ends in {' or '.join(able)}, or --format, which the name need not say"
            raise click.UsageError(
                f"{context.info_name} writes no {by_name}, as {output} is called\n  help: {suggestion}"
            )
        return format or by_name

    return click.option(
        "--format",
        "format",
        type=click.Choice(formats),
        callback=chosen,
        help="[default: by the suffix of FILE, else table]",
    )


CHECK_OPTIONS = combine_options(
    click.option(
        "--max-params", metavar="FIGURE", callback=value_callback(units.parse_limit), help="Budget of parameters: 5M."
    ),
    click.option(
        "--max-macs", metavar="FIGURE", callback=value_callback(units.parse_limit), help="Budget of MACs: 1.5G."
    ),
    click.option("--baseline", metavar="FILE", help="Compare the targets with saved reports."),
    click.option(
        "--tolerance",
        metavar="PERCENT",
        callback=value_callback(units.parse_tolerance),
        help="Allowed difference from the baseline: 2%.",
    ),
    click.option(
        "--fix",
        type=int,
        metavar="[N]",
        help="Apply the fixes that change nothing else to the specs, or fix N of the first conflict, and check again.",
    ),
    click.option("--diff", is_flag=True, help="Show what --fix would change, as a unified diff."),
    click.option("--save-baseline", metavar="FILE", help="Save the reports of all targets."),
    click.option(
        "--select", multiple=True, metavar="CODE,…", callback=parse_codes, help="Only these rules, or families."
    ),
    click.option(
        "--ignore", multiple=True, metavar="CODE,…", callback=parse_codes, help="Not these rules, or families."
    ),
    click.option(
        "--level",
        type=click.Choice(LEVEL_CHOICES),
        default="warning",
        show_default=True,
        help="The lowest level shown.",
    ),
    format_option(CHECK_FORMATS),
)
OUTPUT_OPTION = click.option(
    "-o", "--output", metavar="FILE", is_eager=True, help="Write to FILE, whole or not at all."
)
OUTLINE_OPTIONS = (
    click.option("--depth", type=click.IntRange(1), help="Show only so many levels."),
    click.option("--expand", is_flag=True, help="Show every repeat, and every row of a step."),
)


def view_options(
    read: Callable[[click.Context, click.Parameter, str], tuple[str, ...]],
) -> Callable[[Command], Command]:
    """Return the options for columns, depth, order and output. read: parses the names of columns."""
    return combine_options(
        OUTLINE_OPTIONS[0],
        click.option("--columns", default="", metavar="A,B", callback=read, help="Columns to show, in this order."),
        click.option("--sort", default="", metavar="COLUMN", callback=read, help="Largest first, without nesting."),
        OUTLINE_OPTIONS[1],
        format_option(REPORT_FORMATS),
        OUTPUT_OPTION,
    )


VIEW_OPTIONS = view_options(parse_columns)
FLOPS_VIEW_OPTIONS = view_options(parse_cost_columns)


def library_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run by the library's names; `--arg` and `--set` are one mapping."""
    refuse_given_twice(options)
    own = {
        name: given for name, given in with_library_inputs(options).items() if name not in ("arg", "quiet", "verbose")
    }
    progress = (lambda message: echo(message, err=True)) if options["verbose"] else None
    return {**own, "set": {**options["set"], **options["arg"]}, "progress": progress}


def make_table_options(
    depth: int | None, columns: tuple[str, ...], sort: tuple[str, ...], expand: bool, by: str = ""
) -> TableOptions:
    from archscope.render.table_content import TableOptions

    if len(sort) > 1:
        raise UsageError("--sort takes one column", f"--sort {sort[0]}")
    return TableOptions(columns, depth, "".join(sort), expand, by)
