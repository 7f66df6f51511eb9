"""fvcore's FlopCountAnalysis: counts the operators of a jit trace, and names those that have no formula.

Its counts of a module include all submodules; subtracting those of the children gives the module's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from archscope.counters.model_call import ModelCall, UnsupportedCallError, time_work
from archscope.counters.result import CountedOp, CounterResult


def run_fvcore(call: ModelCall) -> Iterator[CounterResult]:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    if call.kwargs:
        names = ", ".join(call.kwargs)
        raise UnsupportedCallError(f"fvcore takes arguments by position only; this call needs {names} by name")
    quiet = FlopCountAnalysis(call.model, call.args).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis = quiet.tracer_warnings("none")
    total, seconds = time_work(analysis.total)
    nested = analysis.by_module_and_operator()
    yield CounterResult(
        "fvcore",
        "fvcore",
        params=int(parameter_count(call.model)[""]),
        macs=int(total),
        seconds=seconds,
        counts=tuple(to_counts(own_counts(nested))),
        unknown=tuple(to_counts(own_counts({path: analysis.unsupported_ops(path) for path in nested}))),
    )


def own_counts(nested: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Return the counts of each module without those of its children."""
    found = {path: Counter(inside) for path, inside in nested.items()}
    for path, inside in nested.items():
        if path:
            found[path.rpartition(".")[0]].subtract(inside)
    return found


def to_counts(found: Mapping[str, Counter[str]]) -> Iterable[CountedOp]:
    """Yield one CountedOp per module and operator; for operators without a formula the value is how often they ran."""
    return (
        CountedOp(path, name, int(value)) for path, inside in found.items() for name, value in inside.items() if value
    )
