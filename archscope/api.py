"""One function per wish: load, build, summarize, compare, check, schema.

    target → Plan or nn.Module → record → Trace → priced Report (+ expectations) → Comparison, Checked

Nothing here imports torch before the spec has been read, so a mistake in a spec is answered at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archscope import units
from archscope.errors import ForwardError, Problem, Span, SpecError, UsageError
from archscope.report import Checked, Finding, Report, from_problem, join
from archscope.spec import Library
from archscope.spec import load as load_spec

if TYPE_CHECKING:
    from archscope.comparison import Comparison
    from archscope.compile import Override, Plan

Progress = Callable[[str], object]
SPEC = re.compile(r"(?P<file>.+\.ya?ml)(?::(?P<variant>.+))?", re.DOTALL)


@dataclass(frozen=True)
class Given:
    """What a module is called with: shapes to make inputs of, or the arguments themselves."""

    input: Any = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    batch: int | None = None


def load(path: str | os.PathLike[str], *, text: str | None = None) -> Library:
    """Reads a spec and the files it imports, without torch. Raises SpecError with every problem found."""
    return load_spec(os.fspath(path), text=text)


def schema() -> dict[str, Any]:
    """The JSON Schema of the language, for editors. Without torch."""
    from archscope.spec.schema import schema as made

    return made()


def variants(target: str) -> list[str]:
    """The targets of a spec's variants (`net.yaml:small`, …); the target itself where it names one or has none.

    A library of blocks has no net, so no target. Raises SpecError.
    """
    parts = split(target)
    if parts is None or parts[1]:
        return [target]
    from archscope.compile import variants_of

    library = load(parts[0])
    if library.root.layers is None:
        return []
    return [f"{parts[0]}:{v.name}" if v.name else parts[0] for v in variants_of(library.root)]


def split(target: Any) -> tuple[str, str | None] | None:
    """A spec's file and variant; None for a Python target."""
    if not isinstance(target, (str, os.PathLike)):
        return None
    text = os.fspath(target)
    match = SPEC.fullmatch(text)
    if match and not os.path.isfile(text):
        return match["file"], match["variant"]
    return (text, None) if match or (os.path.exists(text) and not text.endswith(".py")) else None


def plan_of(
    target: str | os.PathLike[str],
    *,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    batch: int | None = None,
    train: bool = False,
    allow_python: bool = False,
    strict: bool = True,
) -> Plan:
    """A spec's net, compiled on shapes alone. Raises SpecError, UsageError."""
    parts = split(target)
    if parts is None:
        raise UsageError(f"{target!r} is no spec", "specs are .yaml files")
    if batch and input is not None:
        raise UsageError("the batch size is given twice, by batch and by input", "write it in the input's shape")
    library = load(parts[0])
    from archscope.compile import compile_net, find_variant
    from archscope.spec.settings import settings_of

    return compile_net(
        library,
        find_variant(library.root, variant or parts[1]),
        settings=settings_of(set or {}),
        overrides=_overrides(input, [i.name for i in library.root.inputs]),
        batch=batch or 1,
        strict=strict,
        train=train,
        allow_python=allow_python,
    )


def build(
    target: str | os.PathLike[str],
    variant: str | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    batch: int | None = None,
    input: Any = None,
    device: str = "cpu",
    dtype: str | None = None,
    seed: int | None = None,
    allow_python: bool = False,
) -> Any:
    """The net of a spec as an ordinary nn.Module, initialised as PyTorch does it, in training mode.

    Weights come from torch's global random state in order of execution, or from `seed`, which leaves that state alone.
    Raises SpecError with every mistake in the spec, UsageError for a variant, param or device that does not exist.
    """
    plan = plan_of(target, variant=variant, set=set, input=input, batch=batch, allow_python=allow_python)
    from archscope import compile as workshop
    from archscope import targets

    place = targets.device_of(device)
    targets.refuse_too_big(plan.parameter_count * 4, place, plan.target)  # weights are made as float32
    with targets.seeded(seed):
        return workshop.build(plan, device=place, dtype=targets.dtype_of(dtype))


def summarize(
    target: Any,
    *,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    batch: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    train: bool = False,
    seed: int | None = None,
    allow_python: bool = False,
    progress: Progress | None = None,
) -> Report:
    """One recorded forward pass of a spec, a Python target or a live nn.Module, with its costs.

    input: a shape, `("int64", shape)`, a list of them, or a mapping by name. A live module may be given `args` and
    `kwargs` instead; it stays on its device, and nothing of it is changed. set: params of a spec, arguments of a
    factory.
    Residual adds that do not fit are findings, all of them; raises SpecError for other mistakes in a spec, UsageError
    for wrong use,
    ForwardError (with the report so far) where the forward pass fails.
    """
    tell = progress or (lambda message: None)
    if split(target) is None:
        given = Given(input, tuple(args or ()), dict(kwargs or {}), batch)
        return _summarize_module(target, set or {}, given, device, dtype, train, seed)
    plan = plan_of(
        target, variant=variant, set=set, input=input, batch=batch, train=train, allow_python=allow_python, strict=False
    )
    return _summarize_plan(plan, device, dtype, train, seed, tell)


def _summarize_plan(
    plan: Plan, device: str, dtype: str | None, train: bool, seed: int | None, tell: Progress
) -> Report:
    from archscope import compile as workshop
    from archscope import targets
    from archscope.checks import unmet
    from archscope.record import record

    place, kind = targets.device_of(device), targets.dtype_of(dtype)
    width = kind.itemsize if kind else 4
    targets.refuse_too_big(plan.parameter_count * width + plan.largest_bytes, place, plan.target)
    tell(f"{plan.target}: {plan.parameter_count:,} parameters on {place}")
    with targets.seeded(seed):
        ready = workshop.ready(plan, device=place, dtype=kind, train=train, random=seed is not None)
    inputs = {
        i.name: targets.example(
            i.shape, kind if kind and i.dtype.is_floating_point else i.dtype, place, low=i.low, high=i.high
        )
        for i in plan.inputs
    }
    recording = record(
        lambda recorder: ready.run(tuple(inputs.values()), recorder),
        target=plan.target,
        device=place,
        dtype=dtype or "float32",
        mode="train" if train else "eval",
        inputs=inputs,
        parameters=ready.parameters(),
        buffers=ready.buffers(),
    )
    warnings = tuple(from_problem(problem, rule=rule, level="warning") for rule, problem in plan.warnings)
    report = _joined(recording, _title(plan), warnings)
    return _joined(recording, _title(plan), (*unmet(plan.expected, report), *warnings)) if plan.expected else report


def _title(plan: Plan) -> str:
    return f"{plan.name}:{plan.block.text}" if plan.block.text else plan.name


def _joined(recording: Any, title: str, findings: Iterable[Finding]) -> Report:
    from archscope.render import views

    report = join(recording.trace, findings=findings, title=title, views=views.REPORT)
    if recording.trace.failure is not None:
        failure = recording.trace.failure
        where = failure.site.place
        fact = f"{failure.function}: {failure.message}" if failure.function else failure.message
        problem = Problem(where or Span(recording.trace.target, 0, 0), fact)
        raise ForwardError(problem, report) from recording.error
    return report


def _summarize_module(
    target: Any,
    arguments: Mapping[str, Any],
    given: Given,
    device: str,
    dtype: str | None,
    train: bool,
    seed: int | None,
) -> Report:
    from archscope import compile as workshop
    from archscope import targets
    from archscope.record import drive_module, record

    with targets.seeded(seed):
        subject = targets.subject(target, arguments, device=device, dtype=dtype)
    args, kwargs = targets.inputs_of(subject, given.input, given.args, given.kwargs, given.batch)
    recording = record(
        lambda recorder: drive_module(subject.module, args, kwargs, recorder, text=workshop.describe),
        target=subject.name,
        device=subject.device,
        dtype=subject.dtype,
        mode="train" if train else "eval",
        inputs=targets.named_inputs(subject, args, kwargs),
        parameters=subject.module.named_parameters(remove_duplicate=False),
        buffers=subject.module.named_buffers(remove_duplicate=False),
    )
    return _joined(recording, type(subject.module).__name__, ())


def compare(*wanted: Any, **options: Any) -> Comparison:
    """Reports side by side, the first as the yardstick; a spec without a variant stands for all its variants.

    `options` are those of `summarize`. Raises what `summarize` raises.
    """
    from archscope.comparison import compare as compared
    from archscope.render import views

    targets = [t for target in wanted for t in (variants(target) if isinstance(target, str) else [target])]
    return compared([summarize(target, **options) for target in targets], views=views.COMPARISON)


def check(*wanted: Any, **options: Any) -> list[Checked]:
    """Everything that is wrong with each target, and with each variant of a spec.

    `options` are those of `summarize`.
    """
    return [checked for target in wanted for checked in _checked(target, options)]


def _checked(target: Any, options: Mapping[str, Any]) -> list[Checked]:
    try:
        found = variants(target) if isinstance(target, str) else [target]
    except SpecError as error:
        return [Checked(str(target), _problems(error))]
    if split(target) is not None and options.get("device", "auto") == "auto":
        options = {**options, "device": "meta"}  # shapes and costs are the same there, and no net is too big
    return [Checked(str(one), _findings(one, options)) for one in found] or [Checked(str(target))]


def _problems(error: SpecError) -> tuple[Finding, ...]:
    return tuple(from_problem(problem, sources=error.sources) for problem in error.problems)


def _findings(target: Any, options: Mapping[str, Any]) -> tuple[Finding, ...]:
    try:
        return summarize(target, **options).findings
    except SpecError as error:
        return _problems(error)
    except ForwardError as error:
        return error.report.findings  # type: ignore[attr-defined]


def _overrides(input: Any, names: Sequence[str]) -> list[Override]:
    """`--input` as the library takes it → one Override for each input given."""
    from archscope.compile import Override

    if input is None:
        return []
    if isinstance(input, Mapping):
        given = list(input.items())
    elif isinstance(input, list) and not all(isinstance(n, int) for n in input):
        given = [(names[i] if i < len(names) else f"#{i + 1}", value) for i, value in enumerate(input)]
    else:
        given = [("", input)]
    return [Override(name, *_shape_and_dtype(value)) for name, value in given]


def _shape_and_dtype(value: Any) -> tuple[tuple[int, ...], str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        cure = 'for example (1, 3, 224, 224), or ("int64", (1, 128))'
        raise UsageError(f"an input is a shape, not {units.short(value)}", cure)
    dtype, shape = value if len(value) == 2 and isinstance(value[0], str) else ("", value)
    return tuple(int(n) for n in shape), dtype
