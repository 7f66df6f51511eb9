"""The names of positional arguments of layers and blocks: name → signature → names of arguments."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib import resources

from archscope.spec.spec_types import Block


@cache
def layer_signatures() -> Mapping[str, tuple[str, ...]]:
    """Return the argument names of every layer in positional order; those that can be inferred come first, marked with
    `?`.
    """
    text = (resources.files("archscope") / "spec" / "signatures.json").read_text(encoding="utf-8")
    layers = json.loads(text)["layers"]
    return {name: tuple(map(marked_name, entry["arguments"])) for name, entry in layers.items()}


def marked_name(argument: Mapping[str, object]) -> str:
    if argument.get("inferred"):
        return f"{argument['name']}?"
    return f"{argument['name']}{'!' if argument.get('required') else ''}"


def all_signatures(blocks: Sequence[Block]) -> Mapping[str, tuple[str, ...]]:
    """Return the signatures of torch's layers and of these blocks."""
    own = {block.name: tuple(a.name + "!" * (a.default is None) for a in block.arguments) for block in blocks}
    return {**layer_signatures(), **own}


def positional_names(count: int, words: Collection[str], signature: Sequence[str]) -> list[str]:
    """Return the names of the first `count` positional arguments, where the arguments in `words` are given by name.

    Arguments that can be inferred are skipped if a required argument would be missing otherwise.
    """
    full = [name.rstrip("?!") for name in signature]
    required = [name.rstrip("?!") for name in signature if name[-1] in "?!"]
    if set(required) <= {*full[:count], *words}:
        return full[:count]
    return [name.rstrip("?!") for name in signature if not name.endswith("?")][:count]
