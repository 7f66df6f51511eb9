"""Arguments that torch's constructors refuse: the steps in torch's own modules → ArgumentProblems.

Each problem is confirmed: with another value for this argument, and for every other refused one, the layer can be made
on meta; with the present value it cannot.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from archscope.ops.constructor_checks import OMIT_ARGUMENT, ArgumentProblem, argument_problems
from archscope.targets.construction_steps import ConstructionStep, current_arguments, expand_kwargs, torch_base_class
from archscope.targets.layer_arguments import PLACEMENT_ARGUMENTS
from archscope.targets.quoted_values import quote_value

RECURRENT_ARGUMENTS = (
    *("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout", "bidirectional"),
    "proj_size",
)


def find_refused_arguments(step: ConstructionStep) -> list[ArgumentProblem]:
    """Return the arguments that made a torch constructor fail, if other values would be accepted."""
    cls = torch_class(step)
    if cls is None:
        return []
    if cls in (nn.Sequential, nn.ModuleList):
        return list(non_module_arguments(cls, step.frame.f_locals))
    arguments = constructor_arguments(step, cls)
    found: dict[str, ArgumentProblem] = {}
    for problem in argument_problems(cls.__name__, arguments, show=quote_value):
        found.setdefault(problem.argument, problem)
    corrected = {name: problem.value for name, problem in found.items()}
    if not found or not can_construct(cls, {**arguments, **corrected}):
        return []
    wrong = {name: {**arguments, **corrected, name: arguments[name]} for name in found}
    return [problem for name, problem in found.items() if not can_construct(cls, wrong[name])]


def torch_class(step: ConstructionStep) -> type | None:
    """Return the class of torch.nn whose constructor failed."""
    cls = torch_base_class(step.module) if step.module is not None and step.is_torch else None
    return cls if cls is not None and vars(nn).get(cls.__name__) is cls else None


def constructor_arguments(step: ConstructionStep, cls: type) -> dict[str, object]:
    """Return the arguments of a torch constructor by name, without device and dtype.

    Arguments that the constructor has rebound are equivalent: it makes pairs of sizes, and functions of words.
    """
    frame = step.frame
    given = expand_kwargs(frame, current_arguments(frame))
    if issubclass(cls, nn.RNNBase) and frame.f_code.co_flags & inspect.CO_VARARGS:
        assert step.module is not None
        given = dict(zip(recurrent_names(step.module), frame.f_locals.get("args", ()), strict=False))
        word = vars(step.module).get("nonlinearity")  # its constructor removes it from the keyword arguments
        given |= {"nonlinearity": word} if word is not None else {}
        given = {name: given[name] for name in RECURRENT_ARGUMENTS if name in given} | frame.f_locals.get("kwargs", {})
    return {name: value for name, value in given.items() if name not in PLACEMENT_ARGUMENTS}


def recurrent_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of a recurrent layer's positional arguments; `nn.RNN` removes its nonlinearity from them."""
    plain = isinstance(module, nn.RNN) and "nonlinearity" not in vars(module)
    return tuple(name for name in RECURRENT_ARGUMENTS if name != "nonlinearity" or plain)


def can_construct(cls: type, arguments: Mapping[str, object]) -> bool:
    """Return whether a class of torch accepts these arguments."""
    try:
        arguments = {name: value for name, value in arguments.items() if value is not OMIT_ARGUMENT}
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cls(**arguments)
    except Exception:  # noqa: BLE001 - torch's constructors raise what they like
        return False
    return True


def non_module_arguments(cls: type, names: Mapping[str, object]) -> Iterator[ArgumentProblem]:
    """Yield the first item of a container that is not a module."""
    given = names.get("args", names.get("modules"))
    items: Sequence[object] = given if isinstance(given, (list, tuple)) else ()
    wrong = next((item for item in items if not isinstance(item, nn.Module) and not isinstance(item, dict)), None)
    if wrong is None:
        return
    if isinstance(wrong, (list, tuple)) and cls is nn.Sequential and all(isinstance(one, nn.Module) for one in wrong):
        fact = f"Sequential takes modules one by one, not a {type(wrong).__name__} of {len(wrong)}"
        yield ArgumentProblem("args", fact, "a * before it passes them one by one: nn.Sequential(*layers)", None)
    elif isinstance(wrong, type) and issubclass(wrong, nn.Module):
        fact = f"{cls.__name__} holds modules, and {wrong.__name__} is a class"
        yield ArgumentProblem("args", fact, f"{wrong.__name__}(…) makes a module of it", None)
