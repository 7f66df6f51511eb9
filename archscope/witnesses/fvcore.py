"""fvcore's FlopCountAnalysis: a jit trace, operator by operator; operators without a formula are named.

Counts of a module and all below it → minus those of its parts → its own
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from archscope.statement import Count, Statement
from archscope.witnesses.call import Call, CannotTakeError, timed


def testify(call: Call) -> Iterator[Statement]:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    if call.kwargs:
        names = ", ".join(call.kwargs)
        raise CannotTakeError(f"fvcore takes arguments by position only; this call needs {names} by name")
    quiet = FlopCountAnalysis(call.model, call.args).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis = quiet.tracer_warnings("none")
    total, seconds = timed(analysis.total)
    nested = analysis.by_module_and_operator()
    yield Statement(
        "fvcore",
        "fvcore",
        params=int(parameter_count(call.model)[""]),
        macs=int(total),
        seconds=seconds,
        counts=tuple(counts(own(nested))),
        unknown=tuple(counts(own({path: analysis.unsupported_ops(path) for path in nested}))),
    )


def own(nested: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    """What each module has without what its parts have."""
    found = {path: Counter(inside) for path, inside in nested.items()}
    for path, inside in nested.items():
        if path:
            found[path.rpartition(".")[0]].subtract(inside)
    return found


def counts(found: Mapping[str, Counter[str]]) -> Iterable[Count]:
    """In unknown operators the figure is how often they ran."""
    return (Count(path, name, int(value)) for path, inside in found.items() for name, value in inside.items() if value)
