"""Whether a mutated network is broken, asked of others than the diagnosis.

net → strict compilation ─ SpecError → broken (or unread, where a name is not known) ┐
                         └ module on the meta device → PyTorch raises → broken       ├→ Verdict
      author's figures and expectations ─ no longer met → unmet, else valid          ┘

The strict compiler is what `build` uses. It shares its rules of what fits with the run that is diagnosed; where a rule
says too little, PyTorch alone is left to say it, since it runs whatever the compiler lets pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import archscope
from archscope.api import plan_of, variants
from archscope.errors import SpecError

UNREAD = ("unknown name", "unknown layer", "comes later", "was left out", "is inside the group", "is defined by itself")
"""Complaints about what the text means, and not about sizes."""
MOST_VARIANTS = 4


@dataclass(frozen=True)
class Verdict:
    """kind: `broken`, `unmet` (only an expectation sees it), `valid` or `unread`. target: the variant that shows it."""

    kind: str
    target: str = ""
    words: str = ""


def judged(net: str, *, most: int = MOST_VARIANTS) -> Verdict:
    """The first variant that is broken; where none is, the first that no longer meets an expectation."""
    try:
        targets = chosen(net, most)
        verdict = next((found for target in targets if (found := fault(target))), None)
    except SpecError as error:
        return Verdict("unread", net, str(error))
    return verdict or next((found for target in targets if (found := unmet(target))), Verdict("valid"))


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
    """What is wrong with one variant; None where it compiles and PyTorch runs it."""
    try:
        plan = plan_of(target)
    except SpecError as error:
        unread = all(any(word in problem.message for word in UNREAD) for problem in error.problems)
        return Verdict("unread" if unread else "broken", target, error.problems[0].message)
    words = refusal(target, plan.inputs)
    return Verdict("broken", target, f"PyTorch alone: {words}") if words else None


def refusal(target: str, inputs: tuple) -> str:
    """What PyTorch says of the built module on the meta device; nothing where it runs."""
    import torch

    given = [torch.zeros(one.shape, dtype=one.dtype, device="meta") for one in inputs]
    try:
        with torch.no_grad():
            archscope.build(target, device="meta", seed=0).eval()(*given)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return str(error).splitlines()[0]
    return ""


def unmet(target: str) -> Verdict | None:
    errors = [f for f in archscope.summarize(target, device="meta").findings if f.level == "error"]
    return Verdict("unmet", target, errors[0].message) if errors else None


def clean(net: str, *, most: int = MOST_VARIANTS) -> tuple[bool, bool]:
    """Whether nothing conflicts in any variant, and whether every expectation is met as well; by `check`, and for the
    first by PyTorch and the strict compiler too."""
    targets = chosen(net, most)
    found = [finding for checked in archscope.check(*targets) for finding in checked.errors().findings]
    fits = not any(not finding.rule.startswith("expect-") for finding in found)
    return fits and not any(fault(target) for target in targets), not found


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
