"""Refusals of options that have no effect beside other options, each with an alternative. All functions raise
UsageError.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope.errors import UsageError, did_you_mean
from archscope.spec.folders import expand_folders

if TYPE_CHECKING:
    from archscope.render.table_content import TableOptions

NAMED_TARGET = re.compile(r"(?P<name>[^\s=:,/\\]+)=(?P<target>.+)", re.DOTALL)
TABLE_OPTION_NAMES = ("columns", "sort", "depth", "expand", "by")
"""The fields of TableOptions → names of options."""
BACKWARD_COLUMN = re.compile("backward(_.*)?")


def refuse_options(table_options: TableOptions, names: Sequence[str], fact: str, suggestion: str) -> None:
    """Refuse the first of these options that is given."""
    for name in names:
        if getattr(table_options, name):
            raise UsageError(f"--{name} has no effect here: {fact}", suggestion)


def refuse_ignored(table_options: TableOptions, format: str, *, parts: bool, train: bool) -> None:
    """Refuse options that a table or document of one report ignores. parts: the document has those of `--by`."""
    if format == "json":
        names = ("columns", "sort") if parts else TABLE_OPTION_NAMES
        refuse_options(
            table_options,
            names,
            "a JSON document holds everything, in the order of the run",
            "--format csv, or leave it out",
        )
    if table_options.by in ("type", "depth"):
        refuse_options(
            table_options,
            ("depth", "expand"),
            f"--by {table_options.by} sums over all levels",
            "leave it out, or --by module",
        )
    refuse_without_backward(table_options, train=train)


def refuse_without_backward(table_options: TableOptions, *, train: bool) -> None:
    """Refuse columns of the backward pass if it is not recorded."""
    for name in (*table_options.columns, table_options.sort):
        if BACKWARD_COLUMN.fullmatch(name) and not train:
            raise UsageError(f"{name} is empty: no backward pass is recorded", "--train records it")


def refuse_without_rows(table_options: TableOptions, options: Mapping[str, Any]) -> None:
    """Refuse options that a timing without rows ignores."""
    for flag in ("no_rows", "compile"):
        if options[flag] and not (table_options.columns or table_options.by):
            fact = f"--{flag.replace('_', '-')} shows the whole alone"
            refuse_options(
                table_options, ("sort", "depth", "expand"), fact, f"leave it out, or --{flag.replace('_', '-')}"
            )


def refuse_beside_comparison(table_options: TableOptions, format: str, *, train: bool) -> None:
    """Refuse options that a comparison ignores."""
    from archscope.render.comparisons import COMPARISON_NAMES

    refuse_options(
        table_options, ("by", "depth", "expand"), "--compare has one line for each target", "leave --compare out for it"
    )
    if format == "json":
        refuse_options(
            table_options, ("columns", "sort"), "a JSON document holds everything", "--format csv, or leave it out"
        )
    refuse_unknown_columns(table_options, COMPARISON_NAMES, "a comparison")
    refuse_without_backward(table_options, train=train)


def refuse_beside_cross_check(table_options: TableOptions) -> None:
    """Refuse options that a cross-check ignores."""
    refuse_options(
        table_options, TABLE_OPTION_NAMES, "--cross-check has a line for each counter", "leave --cross-check out for it"
    )


def refuse_without_comparison(table_options: TableOptions, targets: Sequence[str], against: str | None) -> None:
    """Refuse options that only a comparison has."""
    from archscope.render.columns import COLUMN_NAMES

    if against is not None:
        raise UsageError("--against is for comparisons", f"--compare --against {against}")
    for target in targets:
        if split_name(target)[0]:
            raise UsageError(f"{target}: names are for comparisons", "--compare, or the target alone")
    refuse_unknown_columns(table_options, COLUMN_NAMES, "a table of one net")


def refuse_unknown_columns(table_options: TableOptions, known: Sequence[str], what: str) -> None:
    for name in filter(None, (*table_options.columns, table_options.sort)):
        if name not in known:
            raise UsageError(
                f"{what} has no column {name!r}", did_you_mean(name, known) or f"columns: {', '.join(known)}"
            )


def refuse_beside_diff(format: str, level: str) -> None:
    """Refuse options that `check --diff` ignores."""
    if format != "table":
        raise UsageError(f"--format {format} has no effect here: --diff prints a unified diff", "leave one of them out")
    if level != "warning":
        raise UsageError(f"--level {level} has no effect here: --diff prints a unified diff", "leave one of them out")


def refuse_given_twice(options: Mapping[str, Any]) -> None:
    """Refuse a name that both `--set` and `--arg` give."""
    for name in options["set"]:
        if name in options["arg"]:
            raise UsageError(f"{name} is given by --set and by --arg", "--set for a spec, --arg for Python code")


def split_name(text: str) -> tuple[str, str]:
    """Return the name and target of `small=net.yaml`; the name is "" if there is none, or if a file has the whole
    text as its name.
    """
    match = None if os.path.exists(text) else NAMED_TARGET.fullmatch(text)
    return (match["name"], match["target"]) if match else ("", text)


def bare_target(wanted: Any) -> str:
    """Return a target of `compare` without its name."""
    return wanted if isinstance(wanted, str) else str(next(iter(wanted.values())))


def comparison_targets(texts: Sequence[str]) -> list[Any]:
    """Return targets as the library's `compare` takes them: folders expanded, names as mappings."""
    found, names = list[Any](), set[str]()
    for text in texts:
        name, target = split_name(text)
        if name in names:
            raise UsageError(f"two targets are called {name!r}", "a name for each")
        names |= {name} - {""}
        found += [{name: target}] if name else list(expand_folders([target]))
    return found
