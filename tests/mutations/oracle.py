"""Whether a mutated network is broken, asked of others than the diagnosis.

net → strict compilation ─ SpecError → broken (or unread, where a name is not known) ┐
                         └ module on the meta device → PyTorch raises → broken       ├→ Verdict
      author's figures and expectations ─ no longer met → unmet, else valid          ┘

The strict compiler is what `build` uses, and it shares its rules of what fits with the run that is diagnosed. So its
answers have a witness: what it lets pass, PyTorch runs; what it refuses is compiled as for an analysis, which goes on
after a conflict, and PyTorch refuses the module, or a layer is told other sizes than arrive there. A net of many steps
is not run, since that takes a second each time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

import archscope
from archscope.api import compile_plan, variants
from archscope.errors import SpecError

UNREAD = (
    *("unknown name", "unknown layer", "comes later", "was left out", "is inside the group", "is defined by itself"),
    *("by position", "is not one value here"),
)
"""Complaints about what the text means, and not about sizes."""
MOST_VARIANTS = 3
MOST_STEPS = 120


@dataclass(frozen=True)
class Verdict:
    """kind: `broken`, `unmet` (only an expectation sees it), `valid` or `unread`. target: the variant that shows it.

    witness: who else says that it is broken: `PyTorch`, `layer` (told other sizes than arrive), none (`compiler`), or
    not asked (`large`).
    """

    kind: str
    target: str = ""
    words: str = ""
    witness: str = ""


def judged(net: str, *, most: int = MOST_VARIANTS, expectations: bool = True) -> Verdict:
    """The first variant that is broken; where none is, the first that no longer meets an expectation."""
    try:
        targets = chosen(net, most)
        verdict = next((found for target in targets if (found := fault(target))), None) or refused(targets[0])
    except SpecError as error:
        return Verdict("unread", net, str(error))
    wanted = targets if expectations and not verdict else []
    return verdict or next((found for target in wanted if (found := unmet(target))), Verdict("valid"))


def chosen(net: str, most: int) -> list[str]:
    """As many variants, the most different first: those that set names or flags differently, then the others."""
    named = {target.rpartition(":")[2]: target for target in variants(net)}
    if len(named) <= most:
        return list(named.values())
    written = {variant.name: variant for variant in archscope.load(net).root.variants}
    kinds: dict[tuple, str] = {}
    for name, target in named.items():
        settings = written[name].settings if name in written else ()
        kinds.setdefault(tuple(sort(setting.value) for setting in settings), target)
    return [*kinds.values(), *(t for t in named.values() if t not in kinds.values())][:most]


def sort(value: object) -> str:
    """What a setting is apart from its numbers."""
    number = getattr(value, "value", None)
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    return "number" if plain else str(getattr(value, "text", number))


def fault(target: str) -> Verdict | None:
    """Why one variant does not compile; None where it does."""
    try:
        compile_plan(target)
    except SpecError as error:
        unread = all(any(word in problem.message for word in UNREAD) for problem in error.problems)
        return Verdict("unread" if unread else "broken", target, error.problems[0].message, witness(target))
    return None


def refused(target: str) -> Verdict | None:
    """What PyTorch has against a variant that the compiler has let pass."""
    plan = compile_plan(target)
    words = refusal(plan) if plan.block.steps <= MOST_STEPS else ""
    return Verdict("broken", target, words, "PyTorch alone") if words else None


def witness(target: str) -> str:
    """Who says so beside the strict compiler. A conflict is left in the graph; a layer's is mended and noted."""
    try:
        plan = compile_plan(target, strict=False)
    except SpecError:
        return "compiler"
    if any(told_wrong(plan.block)):
        return "layer"
    if plan.block.steps > MOST_STEPS:
        return "large"
    return "PyTorch" if refusal(plan) else "compiler"


def told_wrong(block: Any) -> Iterator[bool]:
    """For every layer of a planned block, whether it was told other sizes than arrive."""
    yield from (bool(node.meta["site"].conflict) for node in block.graph.nodes if "site" in node.meta)
    for member in block.members.values():
        if isinstance(member, type(block)):
            yield from told_wrong(member)


def refusal(plan: Any) -> str:
    """What PyTorch says of the built module on the meta device; nothing where it runs."""
    import torch

    from archscope import compile

    given = [torch.zeros(one.shape, dtype=one.dtype, device="meta") for one in plan.inputs]
    try:
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # a GraphModule prints the code that failed
            compile.build(plan, device="meta").eval()(*given)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return str(error).splitlines()[0]
    return ""


def unmet(target: str) -> Verdict | None:
    errors = [f for f in archscope.summarize(target, device="meta").findings if f.level == "error"]
    return Verdict("unmet", target, errors[0].message) if errors else None


def clean(net: str, *, most: int = MOST_VARIANTS) -> tuple[bool, bool]:
    """Whether nothing conflicts in any variant, by `check` and the strict compiler, and every expectation is met."""
    targets = chosen(net, most)
    found = [finding for checked in archscope.check(*targets) for finding in checked.errors().findings]
    fits = not any(not finding.rule.startswith("expect-") for finding in found)
    return fits and not any(map(fault, targets)), not found


@dataclass(frozen=True)
class Figures:
    """What a network is, in numbers."""

    params: int
    macs: int | None
    outputs: tuple[tuple[int, ...], ...]


def figures(net: str, *, most: int = MOST_VARIANTS) -> tuple[Figures, ...]:
    """Parameters, MACs and output shapes of the variants."""
    reports = [archscope.summarize(target, device="meta") for target in chosen(net, most)]
    return tuple(
        Figures(r.total.params, r.total.macs, tuple(output.value.shape for output in r.trace.outputs)) for r in reports
    )
