"""Options that another option leaves without effect are refused, each with what works instead. Raises UsageError."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from archscope.render.sheet import TableOptions

NAMED_TARGET = re.compile(r"(?P<name>[^\s=:,/\\]+)=(?P<target>.+)", re.DOTALL)
TABLE_OPTION_NAMES = ("columns", "sort", "depth", "expand", "by")
"""The parts of a Wish, as options are called."""
BACKWARD_COLUMN = re.compile("backward(_.*)?")


def refuse_options(wish: TableOptions, names: Sequence[str], fact: str, cure: str) -> None:
    """Refuses the first of these parts of a wish that is wished for."""
    for name in names:
        if getattr(wish, name):
            raise UsageError(f"--{name} has no effect here: {fact}", cure)


def refuse_ignored(wish: TableOptions, format: str, *, parts: bool, train: bool) -> None:
    """What a table or document of one report would ignore. parts: whether the document holds those of `--by`."""
    if format == "json":
        names = ("columns", "sort") if parts else TABLE_OPTION_NAMES
        refuse_options(
            wish, names, "a JSON document holds everything, in the order of the run", "--format csv, or leave it out"
        )
    if wish.by in ("type", "depth"):
        refuse_options(
            wish, ("depth", "expand"), f"--by {wish.by} sums over all levels", "leave it out, or --by module"
        )
    refuse_without_backward(wish, train=train)


def refuse_without_backward(wish: TableOptions, *, train: bool) -> None:
    """Columns of a backward pass that is not recorded."""
    for name in (*wish.columns, wish.sort):
        if BACKWARD_COLUMN.fullmatch(name) and not train:
            raise UsageError(f"{name} is empty: no backward pass is recorded", "--train records it")


def refuse_without_rows(wish: TableOptions, options: Mapping[str, Any]) -> None:
    """What a timing without rows would ignore."""
    for flag in ("no_rows", "compile"):
        if options[flag] and not (wish.columns or wish.by):
            fact = f"--{flag.replace('_', '-')} shows the whole alone"
            refuse_options(wish, ("sort", "depth", "expand"), fact, f"leave it out, or --{flag.replace('_', '-')}")


def refuse_beside_comparison(wish: TableOptions, format: str, *, train: bool) -> None:
    """What a comparison would ignore."""
    from archscope.render.comparisons import COMPARISON_NAMES

    refuse_options(
        wish, ("by", "depth", "expand"), "--compare has one line for each target", "leave --compare out for it"
    )
    if format == "json":
        refuse_options(wish, ("columns", "sort"), "a JSON document holds everything", "--format csv, or leave it out")
    refuse_unknown_columns(wish, COMPARISON_NAMES, "a comparison")
    refuse_without_backward(wish, train=train)


def refuse_beside_cross_check(wish: TableOptions) -> None:
    """What a cross-check would ignore."""
    refuse_options(
        wish, TABLE_OPTION_NAMES, "--cross-check has a line for each counter", "leave --cross-check out for it"
    )


def refuse_without_comparison(wish: TableOptions, targets: Sequence[str], against: str | None) -> None:
    """What belongs to a comparison alone."""
    from archscope.render.columns import COLUMN_NAMES

    if against is not None:
        raise UsageError("--against is for comparisons", f"--compare --against {against}")
    for target in targets:
        if split_name(target)[0]:
            raise UsageError(f"{target}: names are for comparisons", "--compare, or the target alone")
    refuse_unknown_columns(wish, COLUMN_NAMES, "a table of one net")


def refuse_unknown_columns(wish: TableOptions, known: Sequence[str], what: str) -> None:
    for name in filter(None, (*wish.columns, wish.sort)):
        if name not in known:
            raise UsageError(
                f"{what} has no column {name!r}", did_you_mean(name, known) or f"columns: {', '.join(known)}"
            )


def refuse_beside_diff(format: str, level: str) -> None:
    """What `check --diff` would ignore."""
    if format != "table":
        raise UsageError(f"--format {format} has no effect here: --diff prints a unified diff", "leave one of them out")
    if level != "warning":
        raise UsageError(f"--level {level} has no effect here: --diff prints a unified diff", "leave one of them out")


def refuse_given_twice(options: Mapping[str, Any]) -> None:
    """A name that `--set` and `--arg` both give."""
    for name in options["set"]:
        if name in options["arg"]:
            raise UsageError(f"{name} is given by --set and by --arg", "--set for a spec, --arg for Python code")


def split_name(text: str) -> tuple[str, str]:
    """`small=net.yaml` → its name and target; the name is empty where there is none, or a file is called so."""
    match = None if os.path.exists(text) else NAMED_TARGET.fullmatch(text)
    return (match["name"], match["target"]) if match else ("", text)


def bare_target(wanted: Any) -> str:
    """What a target as `compare` takes it is, without its name."""
    return wanted if isinstance(wanted, str) else str(next(iter(wanted.values())))


def comparison_targets(texts: Sequence[str]) -> list[Any]:
    """Targets as the library's `compare` takes them; folders spread, names as mappings."""
    from archscope.spec.folders import expand_folders

    found, names = list[Any](), set[str]()
    for text in texts:
        name, target = split_name(text)
        if name in names:
            raise UsageError(f"two targets are called {name!r}", "a name for each")
        names |= {name} - {""}
        found += [{name: target}] if name else list(expand_folders([target]))
    return found
