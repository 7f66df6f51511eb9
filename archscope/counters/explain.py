"""Explains each difference by rows: counts by module → causes → Differences.

module ─ no products ─ biases ─ equal figures ─ unpriced here ─ not counted there ─ counted otherwise ─→ FoundCauses
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archscope.cost import FREE_KERNELS as FREE_KERNELS
from archscope.counters import difference_causes as causes
from archscope.counters.difference_causes import FoundCause
from archscope.counters.differences import UNEXPLAINED, Account, CrossCheck, Difference
from archscope.counters.per_module import ModuleCounts, RowProduct, counts_by_module
from archscope.counters.result import CountedOp, CounterResult
from archscope.report import Report, ReportViews
from archscope.trace import Param

MatchedGroup = tuple[list[RowProduct], list[CountedOp]]


def cross_check(
    report: Report,
    seconds: float,
    results: Iterable[CounterResult],
    modules: Iterable[str],
    *,
    views: ReportViews = ReportViews(),  # noqa: B008 - frozen
) -> CrossCheck:
    """Return our report beside the results of counters, each difference with its causes; modules: the model's paths."""
    explanation = Explanation(report, frozenset(modules))
    return CrossCheck(report, seconds, tuple(map(explanation.account, results)), views)


@dataclass(frozen=True)
class Explanation:
    """Our report and the paths of the model's modules, which every account needs."""

    report: Report
    modules: frozenset[str]

    def account(self, result: CounterResult) -> Account:
        if result.status != "counted":
            return Account(result, self.report)
        found = ResultExplanation(
            self.report, result, counts_by_module(self.report, result, self.modules), self.modules
        ).find_causes()
        params = tuple(param_differences(self.report, result))
        return Account(result, self.report, causes.group_causes(found), params)


@dataclass(frozen=True)
class ResultExplanation:
    """One counter's result beside our rows."""

    report: Report
    result: CounterResult
    module_counts: Mapping[str, ModuleCounts]
    modules: frozenset[str]

    def find_causes(self) -> Iterator[FoundCause]:
        for module in self.module_counts.values():
            yield from self.explain_module(module)

    def explain_module(self, module: ModuleCounts) -> Iterator[FoundCause]:
        counts = []
        for count in module.counts:
            if self.is_free(count, module):
                yield (free_layer if self.result.granularity == "layers" else free_operator)(count, module)
            else:
                counts.append(count)
        if self.result.granularity == "layers":
            yield from bias_causes(module, counts)
            counts = [without_bias(count) for count in counts]
        if module.ours != sum(count.macs for count in counts):
            equal = Counter(product.macs for product in module.products) & Counter(count.macs for count in counts)
            yield from self.explain_unequal(module, left_over(module.products, equal), left_over(counts, equal))

    def is_free(self, count: CountedOp, module: ModuleCounts) -> bool:
        """Return whether `count` has no products: a layer without a priced row, or an operator in our list."""
        if self.result.granularity == "layers":
            return not module.products and not module.unpriced
        return f"aten.{causes.bare_name(count.name)}" in FREE_KERNELS or count.name.replace("::", ".") in FREE_KERNELS

    def explain_unequal(
        self, module: ModuleCounts, products: list[RowProduct], counts: list[CountedOp]
    ) -> Iterator[FoundCause]:
        """Yield the causes of figures that are not equal on both sides."""
        theirs = sum(count.macs for count in counts)
        if module.unpriced and theirs:
            yield self.unpriced_cause(module, products, theirs)
            return
        uncounted = [
            product for product in products if not theirs or causes.find_unknown_operator(product, module.unknown)
        ]
        counted = [product for product in products if product not in uncounted]
        if uncounted and sum(product.macs for product in counted) == theirs:
            for reason, group in self.group_by_reason(module, uncounted):
                yield from causes.find_uncounted(module, group, reason)
            return
        for pair in pair_up(products, counts):
            yield self.explain_group(module, *pair)

    def unpriced_cause(self, module: ModuleCounts, products: Sequence[RowProduct], theirs: int) -> FoundCause:
        rows = tuple(row.index for row in module.unpriced)
        amount = theirs - sum(product.macs for product in products)
        return FoundCause(
            "unpriced",
            module.unpriced[0].row.short_name,
            causes.COUNTED_THOUGH_UNPRICED,
            amount,
            rows,
            module.path,
            len(rows),
        )

    def explain_group(self, module: ModuleCounts, products: list[RowProduct], counts: list[CountedOp]) -> FoundCause:
        known = causes.explain_layer if self.result.granularity == "layers" else causes.explain_operator
        cause = known(module, products, counts[0]) if products and len(counts) == 1 else None
        return cause or causes.unexplained_cause(module, products, counts)

    # -------------------------------------------------------- why it is not counted
    def group_by_reason(
        self, module: ModuleCounts, products: Sequence[RowProduct]
    ) -> Iterator[tuple[str, list[RowProduct]]]:
        groups: dict[str, list[RowProduct]] = {}
        for product in products:
            groups.setdefault(self.uncounted_reason(module, product), []).append(product)
        yield from groups.items()

    def uncounted_reason(self, module: ModuleCounts, product: RowProduct) -> str:
        if self.result.granularity == "layers":
            return layer_reason(module, product, self.modules)
        operator, enclosing = (
            causes.find_unknown_operator(product, module.unknown),
            self.enclosing_operator(module),
        )
        if operator is not None:
            return f"not counted: no formula for {operator.name}"
        if enclosing is not None:
            return f"not counted: inside {enclosing.name}, which has no formula"
        if product.row.index not in self.report.index.needed_rows:
            return "not counted: nothing reads the result, and its trace drops it"
        opaque = next((op.name for op in module.unknown if op.name.startswith("prim::PythonOp")), None)
        if opaque is not None:
            return f"not counted: inside {opaque}, which has no formula"
        return "not counted"

    def enclosing_operator(self, module: ModuleCounts) -> CountedOp | None:
        """Return the operator without a formula that computes this module or one around it."""
        path = module.path
        while True:
            unknown = self.module_counts[path].unknown if path in self.module_counts else []
            found = next((count for count in unknown if causes.ENCLOSING_OPERATORS.fullmatch(count.name)), None)
            if found is not None or not path:
                return found
            path = path.rpartition(".")[0]


# ------------------------------------------------------------ steps
def free_operator(count: CountedOp, module: ModuleCounts) -> FoundCause:
    """Return the cause of an operator without products that is counted, as often as we have rows of it there."""
    rows = [row for row in module.free if row.row.short_name == causes.bare_name(count.name)]
    names = dict.fromkeys(row.op for row in rows)
    subject = next(iter(names)) if len(names) == 1 else causes.bare_name(count.name)
    indexes = tuple(row.index for row in rows)
    return FoundCause(
        "no-products", subject, causes.COUNTED_THOUGH_FREE, count.macs, indexes, module.path, len(rows) or 1
    )


def free_layer(count: CountedOp, module: ModuleCounts) -> FoundCause:
    """Return the cause of a layer whose rows have no products, but which is counted by its parameters."""
    return FoundCause(
        "no-products",
        count.name,
        causes.COUNTED_THOUGH_FREE,
        count.macs,
        tuple(row.index for row in module.free),
        module.path,
    )


def bias_causes(module: ModuleCounts, counts: Sequence[CountedOp]) -> Iterator[FoundCause]:
    """Yield the additions of a bias that are counted as multiply-adds, call by call."""
    rows = list(dict.fromkeys(product.row.index for product in module.products))
    own = rows if len(rows) == len(counts) else []
    for index, count in enumerate(counts):
        amount = count.macs - without_bias(count).macs
        if amount and module.products:
            yield FoundCause(
                "bias",
                count.name,
                causes.COUNTED_WITH_BIAS,
                amount,
                tuple(own[index : index + 1]),
                module.path,
            )


def without_bias(count: CountedOp) -> CountedOp:
    """Return the weights' part of a figure made of weights and biases, if it is a whole number."""
    macs, remainder = divmod(count.macs * count.weights, count.weights + count.biases or 1)
    return replace(count, macs=macs) if count.biases and not remainder else count


def left_over(figures: Iterable, equal: Counter[int]) -> list:
    """Return the products or counts without those whose MACs occur on both sides."""
    rest, remaining = [], Counter(equal)
    for figure in figures:
        if remaining[figure.macs] > 0:
            remaining[figure.macs] -= 1
        else:
            rest.append(figure)
    return rest


def pair_up(products: Sequence[RowProduct], counts: Sequence[CountedOp]) -> Iterator[MatchedGroup]:
    """Yield each row with its count if there are as many of both, else all rows with all counts."""
    rows: dict[int, list[RowProduct]] = {}
    for product in products:
        rows.setdefault(product.row.index, []).append(product)
    if len(rows) == len(counts):
        yield from ((own, [count]) for own, count in zip(rows.values(), counts, strict=True))
    else:
        yield list(products), list(counts)


def layer_reason(module: ModuleCounts, product: RowProduct, modules: frozenset[str]) -> str:
    """Return why a tool that counts layers by their parameters counts nothing here."""
    if module.counts:
        return "not counted: it has no parameter called weight or bias"
    if product.subject == product.row.row.short_name:
        return "not counted: a function, and it sees layers only"
    inside = any(path.startswith(f"{module.path}.") or not module.path for path in modules - {module.path})
    return "not counted: it sees the layers inside, which are not called" if inside else "not counted"


# ------------------------------------------------------------ parameters
def param_differences(report: Report, result: CounterResult) -> Iterator[Difference]:
    """Yield differences: tied parameters counted once per layer, pruned weights left out, if they give the figure."""
    if result.params is None or result.params == report.total.params:
        return
    off, tied = result.params - report.total.params, recounted_ties(report, result)
    subject, extra = f"{len(tied)} parameter{'s' * (len(tied) != 1)}", sum(param.count for param in tied)
    twice = Difference("tied", subject, extra, "with another name counted again", times=0)
    amount = -sum(count.pruned for count in result.counts)
    pruned = Difference("pruned", "pruned weights", amount, "not counted", times=0)
    for candidates in ((twice,), (pruned,), (twice, pruned)):
        if sum(difference.amount for difference in candidates) == off:
            yield from candidates
            return
    yield Difference(UNEXPLAINED, "parameters", off, "", times=0)


def recounted_ties(report: Report, result: CounterResult) -> list[Param]:
    """Return the further names of tied parameters, among the names whose layer was called."""
    called = {count.path for count in result.counts}
    names = [param for param in report.trace.params if param.name.rpartition(".")[0] in called]
    first: dict[str, str] = {}
    return [param for param in names if first.setdefault(param.tied_to or param.name, param.name) != param.name]
