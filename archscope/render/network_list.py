"""The list of networks: text with one line for each file, or for each variant of one file; or a JSON document."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from archscope.errors import escape_invisible
from archscope.spec.catalog import Network

MIN_TEXT_WIDTH = 30
"""The narrowest column of sentences."""


def format_networks(networks: Sequence[Network], width: int = 80) -> str:
    """Return the variants of one file, each as a target with the params that it sets; or a line for each of several
    files.
    """
    if len(networks) == 1:
        (network,) = networks
        lines = textwrap.wrap(f"{network.target}: {network_description(network)}", width)
        if network.variants:
            variants = [(variant.target, str(variant)) for variant in network.variants]
            lines += ["", *align_columns([("variant", "sets"), *variants], width)]
    else:
        files = [(item.target, str(len(item.variants) or ""), network_description(item)) for item in networks]
        lines = align_columns([("network", "variants", "what it is"), *files], width)
    return escape_invisible("\n".join(lines) + "\n")


def network_description(network: Network) -> str:
    if network.about is not None:
        return network.about
    return f"cannot be read: `archscope check {network.target}` says why"


def networks_document(networks: Sequence[Network]) -> dict[str, Any]:
    """Return the JSON document `archscope.list/1`."""
    return {
        "schema": "archscope.list/1",
        "networks": [
            {
                "target": network.target,
                "about": network.about,
                "variants": [{"target": variant.target, "set": dict(variant.settings)} for variant in network.variants],
            }
            for network in networks
        ],
    }


def align_columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows with their cells in columns; the last column is wrapped to the rest of the width."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    last_width = max(width - sum(widths) - 2 * len(widths), MIN_TEXT_WIDTH)
    return [line for row in rows for line in row_lines(row, widths, last_width)]


def row_lines(row: Sequence[str], widths: Sequence[int], last_width: int) -> list[str]:
    first = "  ".join(
        cell.rjust(size) if cell.isdigit() else cell.ljust(size) for cell, size in zip(row, widths, strict=False)
    )
    last = textwrap.wrap(row[-1], last_width) or [""]
    indent = " " * (len(first) + 2)
    return [f"{first}  {last[0]}".rstrip(), *(indent + line for line in last[1:])]
