"""Help for a built net that was run at another size: how to build it for that size, if the spec compiles at it.

the arguments of `build` + the call's inputs → one more compilation by shapes → the help line
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from archscope.errors import SpecError, UsageError

MAX_DIMENSION = 4096
"""The largest dimension for which a net is compiled again, since its loops may be unrolled."""
MAX_NET_STEPS = 10_000
"""The maximum number of steps of a net that is compiled again."""
NEITHER_COMPILES = "the spec does not compile at this size either"


@dataclass(frozen=True, eq=False)
class SizeHelp:
    """The help for building a net for another size. target: the arguments of `build`, as Python. compile_at: compiles
    the spec for given shapes of the inputs, by name. inputs: the names of the inputs. steps: the number of steps.
    Copies of a net share this object; pickles leave it out, as it holds the spec."""

    target: str
    compile_at: Callable[[Mapping[str, tuple[int, ...]]], object]
    inputs: tuple[str, ...]
    steps: int

    def __deepcopy__(self, memo: object) -> SizeHelp:
        return self

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _no_size_help, ()

    def help(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the help for a call that was refused; empty if it cannot be found at little cost."""
        given = dict(zip(self.inputs, args, strict=False)) | dict(kwargs)
        shapes = {name: tuple(value.shape) for name, value in given.items() if isinstance(value, torch.Tensor)}
        sizes = [size for shape in shapes.values() for size in shape]
        if (
            self.steps > MAX_NET_STEPS
            or max(sizes, default=0) > MAX_DIMENSION
            or not all(type(size) is int for size in sizes)
        ):
            return ""
        if torch.compiler.is_compiling():
            return ""
        try:
            self.compile_at(shapes)
        except SpecError as refused:
            problem = refused.problems[0]
            return f"{NEITHER_COMPILES}: {problem.message} ({problem.span.file}:{problem.span.line})"
        except UsageError as refused:
            return f"{NEITHER_COMPILES}: {refused.message}"
        except Exception:  # noqa: BLE001 - what a mode of torch's makes of it must not hide why the size is refused
            return ""
        said = repr(next(iter(shapes.values()))) if len(self.inputs) == 1 else repr(shapes)
        return f"archscope.build({self.target}, input={said}) builds it for this size"


def _no_size_help() -> None:
    """Return the value that pickles hold in place of a SizeHelp."""
