"""Built nets: nn.Module classes made from generated source code, and the functions that the code calls besides torch.

ForwardCode (a block's forward as Python, with the step of each line) → net_class → a subclass of Net, one for each
distinct block. Pickles hold the ForwardCode, so that a net can be loaded without its spec; archscope must be installed,
as for the pickle of any module its class. A call at another size raises SizeError, with the help of SizeHelp: how to
build the net for that size, if the spec compiles at it.
"""

from __future__ import annotations

import builtins
import linecache
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
import torch.fx
from torch import nn

from archscope.errors import SizeError, SpecError, UsageError
from archscope.spec.bounded_math import make_divisible
from archscope.trace import join_path

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


is_tracing: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]  # not in its stub
LOCATED_ERRORS = (
    *(RuntimeError, ValueError, TypeError, IndexError, AttributeError),
    *(AssertionError, ArithmeticError, MemoryError),
)
"""Exceptions of a forward pass whose message is extended by the step."""


@dataclass(frozen=True)
class CodeLine:
    """The step of one line of forward code: its path in the block, its text, and `file:line`."""

    path: str
    text: str
    place: str


@dataclass(frozen=True)
class ForwardCode:
    """The code of one distinct block: its name, `def forward(…)` as Python, the steps of its lines, and for a whole
    net the arguments of `build`, as Python."""

    name: str
    source: str
    lines: tuple[tuple[int, CodeLine], ...]
    target: str = ""

    def __deepcopy__(self, memo: object) -> ForwardCode:
        return self


class Net(nn.Module):
    """One use of a block, as a module. size_help: of a whole net, how to build it for another size."""

    forward_code: ClassVar[ForwardCode]
    size_help: SizeHelp | None = None
    calls_forward: ClassVar[bool] = True  # as nn.Module.__call__, but errors name the step

    @property
    def code(self) -> str:
        """The forward as Python code."""
        return self.forward_code.source

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except LOCATED_ERRORS as error:
            add_step_to_message(type(self), error)
            if self.size_help and isinstance(error, SizeError) and error.rebuild and not error.help:
                error.help = self.size_help.help(args, kwargs)
                error.args = SizeError(error.fact, error.path, error.place, help=error.help).args
            raise

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _restore_net, (self.forward_code,), self.__getstate__()


def _restore_net(code: ForwardCode) -> Net:
    made = net_class(code).__new__(net_class(code))
    nn.Module.__init__(made)
    return made


@lru_cache(maxsize=4096)
def net_class(code: ForwardCode) -> type[Net]:
    """Return the class whose forward is the code."""
    file = f"<archscope {code.name} {abs(hash(code)):x}>"
    linecache.cache[file] = (len(code.source), None, code.source.splitlines(keepends=True), file)
    made: dict[str, Any] = {}
    exec(compile(code.source, file, "exec"), FORWARD_NAMES, made)
    body = {"forward": made["forward"], "forward_code": code, "__module__": __name__, "__qualname__": code.name}
    return type(code.name, (Net,), body)


# Errors


def add_step_to_message(net: type[Net], error: Any) -> None:
    """Add the step to an error's message: the line of this block that raised, then the blocks around it."""
    at, first = _failing_line(net, error), not getattr(error, "located", False)
    if first and isinstance(error, SizeError):  # a SizeError names its place in this block
        error.located = True
        return
    if at is None or (first and not (error.args and isinstance(error.args[-1], str) and len(error.args) <= 2)):
        return
    error.located = True
    if first:
        error.fact, error.path, error.place = error.args[-1], at.path, f"{at.text} ({at.place})"
    else:
        error.path = join_path(at.path, error.path)
    error.args = (f"{error.fact}\n  at {error.path or 'the net'}: {error.place}",)


def _failing_line(net: type[Net], error: BaseException) -> CodeLine | None:
    """Return the step that was running in the outermost frame of this block's forward."""
    own, lines, trace = net.forward.__code__, dict(net.forward_code.lines), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is own:
            return lines.get(trace.tb_lineno)
        trace = trace.tb_next
    return None


# What the text of a forward calls


def require(got: Any, wanted: Any, what: str, path: str, place: str, meant: str = "", rebuild: bool = True) -> None:
    """Raise SizeError if a number is not the one that the net was built for (`meant`: the number that it must
    equal)."""
    if not is_tracing() and got != wanted:
        other = f"{meant} is" if meant else "this net was built for"
        raise SizeError(f"{what} is {got} here, but {other} {wanted}", path, place, rebuild)


def require_rank(tensor: Any, wanted: int, name: str, place: str) -> None:
    """Raise SizeError if an input has another number of dimensions than the net was built for.

    Raises TypeError if it is not a tensor.
    """
    if not isinstance(tensor, (torch.Tensor, torch.fx.Proxy)):
        raise TypeError(f"{place} takes a tensor, not {type(tensor).__name__}")
    if tensor.dim() != wanted:
        has = f"{tensor.dim()} dimension{'s' * (tensor.dim() != 1)}"
        fact = f"{name} has {has} here, {tuple(tensor.shape)}, but this net was built for {wanted}"
        raise SizeError(fact, "", place, rebuild=False)


def require_equal_shapes(what: str, *tensors: Any) -> None:
    """Raise RuntimeError if the operands of an addition that must not broadcast differ in shape."""
    shapes = [tensor.shape for tensor in tensors]
    if not is_tracing() and any(shape != shapes[0] for shape in shapes):
        raise RuntimeError(f"{what} adds equal shapes only, not {', '.join(str(tuple(shape)) for shape in shapes)}")


def if_else(here: Any, condition: Any, otherwise: Any) -> Any:
    """Return `here if condition else otherwise`."""
    return here if condition else otherwise


def to_int(number: Any, *base: Any) -> Any:
    """Return `int(number)`, also of a symbolic size of torch.export."""
    return torch.sym_int(number) if isinstance(number, (torch.SymInt, torch.SymFloat)) else int(number, *base)


def to_float(number: Any) -> Any:
    """Return `float(number)`, also of a symbolic size of torch.export."""
    return torch.sym_float(number) if isinstance(number, (torch.SymInt, torch.SymFloat)) else float(number)


def zip_list(*lists: Iterable[Any]) -> list[Any]:
    """Return `zip` of equally long lists as a list."""
    return list(zip(*lists, strict=True))


def enumerate_list(items: Iterable[Any], start: int = 0) -> list[Any]:
    """Return `enumerate` as a list."""
    return list(enumerate(items, start))


def reverse_list(items: Iterable[Any]) -> list[Any]:
    """Return `reversed` as a list."""
    return list(items)[::-1]


def concat_lists(first: Iterable[Any], second: Iterable[Any]) -> list[Any]:
    """Return the items of two lists."""
    return [*first, *second]


REQUIRE_FUNCTIONS: tuple[Callable[..., Any], ...] = (require, require_rank, require_equal_shapes)
FORWARD_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    *REQUIRE_FUNCTIONS,
    *(if_else, to_int, to_float, zip_list, enumerate_list, reverse_list, concat_lists, make_divisible),
)
FORWARD_BUILTINS = ("len", "range", "enumerate", "min", "max", "abs", "round", "sum", "float")
FORWARD_GLOBALS: dict[str, Any] = {
    "torch": torch,
    "math": math,
    **{function.__name__: function for function in FORWARD_FUNCTIONS},
}
FORWARD_NAMES: dict[str, Any] = {
    **FORWARD_GLOBALS,
    **{f"_{name}": value for name, value in FORWARD_GLOBALS.items()},
    **{f"_{name}": getattr(builtins, name) for name in FORWARD_BUILTINS},
}
"""The names that forward code may use, prefixed with `_` if an input has the name."""
for name in (*(function.__name__ for function in FORWARD_FUNCTIONS), "len", "max", "min", "round", "sum"):
    exec(f"torch.fx.wrap({name!r})", FORWARD_NAMES)  # torch.fx records a call of it instead of tracing into it
