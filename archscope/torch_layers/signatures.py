"""The constructors of torch.nn layers as tables, and the binding of a step's arguments to them.

    torch.nn → torch_layers() → constructor_signature(cls) → bind_constructor(cls, args, kwargs) → BoundArguments

The schema uses a snapshot, which this command writes: `python -m archscope.torch_layers.signatures
archscope/spec/signatures.json`.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from types import MappingProxyType

from torch import nn

from archscope.errors import did_you_mean

_STEPS_HELP = "write a list of steps"
REFUSED_MODULES: Mapping[str, str] = {
    "Sequential": _STEPS_HELP,
    "ModuleList": "label the steps, or use `repeat:` or `for:`",
    "ModuleDict": "label the steps, or name the branches",
    "ParameterList": "write each one as Parameter(…)",
    "ParameterDict": "write each one as Parameter(…)",
    "Container": _STEPS_HELP,
    "Module": "write a block",
    "DataParallel": "a spec describes one device's network: leave it out",
    "RNNBase": "write LSTM, GRU or RNN",
    "RNNCellBase": "write LSTMCell, GRUCell or RNNCell",
    **{f"LazyConv{d}d": f"Conv{d}d infers in_channels by itself" for d in (1, 2, 3)},
    **{f"LazyConvTranspose{d}d": f"ConvTranspose{d}d infers in_channels by itself" for d in (1, 2, 3)},
    **{f"LazyBatchNorm{d}d": f"BatchNorm{d}d infers num_features by itself" for d in (1, 2, 3)},
    **{f"LazyInstanceNorm{d}d": f"InstanceNorm{d}d infers num_features by itself" for d in (1, 2, 3)},
    "LazyLinear": "Linear infers in_features by itself",
}
"""Modules of torch.nn that specs cannot use, and what to write instead."""

_CHANNELS, _FEATURES = (("in_channels", 1, 0),), (("num_features", 1, 0),)
_INPUT, _MODEL = (("input_size", -1, 0),), (("d_model", -1, 0),)
_SHAPE = (("normalized_shape", -1, 0),)
INFERRED_ARGUMENTS: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    **{f"Conv{kind}{d}d": _CHANNELS for kind in ("", "Transpose") for d in (1, 2, 3)},
    **{f"{kind}Norm{d}d": _FEATURES for kind in ("Batch", "Instance") for d in (1, 2, 3)},
    "SyncBatchNorm": _FEATURES,
    "GroupNorm": (("num_channels", 1, 0),),
    "Linear": (("in_features", -1, 0),),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"), _INPUT),
    "LayerNorm": _SHAPE,
    "RMSNorm": _SHAPE,
    "MultiheadAttention": (("embed_dim", -1, 0),),
    **dict.fromkeys(("TransformerEncoderLayer", "TransformerDecoderLayer", "Transformer"), _MODEL),
    "Bilinear": (("in1_features", -1, 0), ("in2_features", -1, 1)),
}
"""Layer → the arguments that are inferred: (argument, axis, index of the input)."""

_IMAGE_AXES = ("N", "C", "L"), ("N", "C", "H", "W"), ("N", "C", "D", "H", "W")
_IMAGE_LAYERS = ("Conv", "ConvTranspose", "InstanceNorm", "MaxPool", "AvgPool", "LPPool", "MaxUnpool")
_SEQUENCE_LAYERS = ("LSTM", "GRU", "RNN", "MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer")
ALLOWED_RANKS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    **{
        f"{kind}{d}d": (_IMAGE_AXES[d - 1],)
        for kind in (*_IMAGE_LAYERS, "AdaptiveAvgPool", "AdaptiveMaxPool")
        for d in (1, 2, 3)
    },
    "BatchNorm1d": (("N", "C"), _IMAGE_AXES[0]),
    "BatchNorm2d": (_IMAGE_AXES[1],),
    "BatchNorm3d": (_IMAGE_AXES[2],),
    "FractionalMaxPool2d": (_IMAGE_AXES[1],),
    "FractionalMaxPool3d": (_IMAGE_AXES[2],),
    "CrossMapLRN2d": (_IMAGE_AXES[1],),
    **dict.fromkeys((*_SEQUENCE_LAYERS, "TransformerEncoder", "TransformerDecoder", "Transformer"), (("T", "N", "F"),)),
    **dict.fromkeys(("LSTMCell", "GRUCell", "RNNCell"), (("N", "F"),)),
}
"""Layer → the axes of each rank that its input may have. Layers that are absent take any rank.

(T, N, F) stands for both axis orders of a sequence; `batch_first` decides between them.
"""

_OMITTED_ARGUMENTS = ("device", "dtype")
_RNN_SIGNATURE = "input_size hidden_size num_layers=1 {} bias=True batch_first=False dropout=0.0 bidirectional=False {}"
_EXPLICIT_SIGNATURES = {
    "LSTM": _RNN_SIGNATURE.format("", "proj_size=0"),
    "GRU": _RNN_SIGNATURE.format("", ""),
    "RNN": _RNN_SIGNATURE.format("nonlinearity='tanh'", ""),
}


@cache
def torch_layers() -> Mapping[str, type]:
    """Return the layers of torch.nn by name, without those in `REFUSED_MODULES`."""
    classes = {name: thing for name, thing in sorted(vars(nn).items()) if isinstance(thing, type)}
    layers = {name: cls for name, cls in classes.items() if issubclass(cls, nn.Module) and name not in REFUSED_MODULES}
    return MappingProxyType(layers)


@cache
def constructor_signature(cls: Callable[..., object]) -> Signature:
    """Return the constructor's parameters without self, device, dtype, and torch's private ones."""
    written = _EXPLICIT_SIGNATURES.get(cls.__name__) if cls.__module__.startswith("torch.") else None
    if written:
        return Signature([_parse_parameter(text) for text in written.split()])
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    parameters = list(inspect.signature(cls).parameters.values())
    return Signature(
        [p for p in parameters if p.kind not in variadic and p.name not in _OMITTED_ARGUMENTS and p.name[0] != "_"]
    )


def _parse_parameter(text: str) -> Parameter:
    name, _, default = text.partition("=")
    values = {"True": True, "False": False, "'tanh'": "tanh", "0.0": 0.0, "0": 0, "1": 1, "": Parameter.empty}
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=values[default])


def constructor_text(cls: type, *, defaults: int = 2) -> str:
    """Return `Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, …)`: the required parameters and a
    few others."""
    shown = []
    for parameter in constructor_signature(cls).parameters.values():
        optional = parameter.default is not Parameter.empty
        if optional and defaults == 0:
            shown.append("…")
            break
        defaults -= optional
        default = getattr(parameter.default, "__name__", repr(parameter.default))
        shown.append(f"{parameter.name}={default}" if optional else parameter.name)
    return f"{cls.__name__}({', '.join(shown)})"


@dataclass(frozen=True)
class BoundArguments:
    """A step's arguments by name, and the names of those that are inferred."""

    arguments: dict[str, object]
    inferred: tuple[str, ...]


class BindError(Exception):
    """Arguments that do not fit. kind: `unknown`, `many`, `missing`, `twice`; name: the wrong argument, if there is
    one."""

    def __init__(self, kind: str, name: str, message: str, help: str = ""):
        self.kind, self.name, self.message, self.help = kind, name, message, help
        super().__init__(message)


def bind_constructor(cls: type, args: Iterable[object], kwargs: Mapping[str, object]) -> BoundArguments:
    """Return the arguments as PyTorch binds them; missing required ones are inferred if possible.

    Raises BindError.
    """
    args = tuple(args)
    if cls is nn.Identity:  # torch's Identity ignores its arguments
        return BoundArguments({}, ())
    inferable = tuple(name for name, _, _ in INFERRED_ARGUMENTS.get(cls.__name__, ()) if name not in kwargs)
    parameters = constructor_signature(cls).parameters
    given = _bind_parameters(cls, parameters, args, kwargs)
    missing = _missing_names(parameters, given)
    if missing:
        given = _bind_without_inferred(cls, missing, inferable, args, kwargs)
    return BoundArguments(given, tuple(name for name in inferable if name not in given))


def _bind_without_inferred(
    cls: type, missing: list[str], inferable: tuple[str, ...], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    parameters = {name: p for name, p in constructor_signature(cls).parameters.items() if name not in inferable}
    try:
        given = _bind_parameters(cls, parameters, args, kwargs)
    except BindError:
        raise _missing_error(cls, [name for name in missing if name not in inferable]) from None
    if still := _missing_names(parameters, given):
        raise _missing_error(cls, still)
    return given


def _bind_parameters(
    cls: type, parameters: Mapping[str, Parameter], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    for name in kwargs:
        if name not in parameters:
            raise _unknown_error(cls, name)
    positional = [p.name for p in parameters.values() if p.kind is not Parameter.KEYWORD_ONLY]
    if len(args) > len(positional):
        raise _too_many_error(cls, len(positional), len(args))
    given = dict(zip(positional, args, strict=False))
    for name in kwargs:
        if name in given:
            text = f"{cls.__name__} gets {name} twice: by position ({given[name]}) and by name"
            raise BindError("twice", name, text, constructor_text(cls))
    return {**given, **kwargs}


def _missing_names(parameters: Mapping[str, Parameter], given: Mapping[str, object]) -> list[str]:
    return [p.name for p in parameters.values() if p.default is Parameter.empty and p.name not in given]


def _unknown_error(cls: type, name: str) -> BindError:
    message = f"{cls.__name__} has no argument {name!r}"
    if name in _OMITTED_ARGUMENTS:
        return BindError("unknown", name, message, f"leave it out: --{name} chooses it for the whole net")
    near = did_you_mean(name, constructor_signature(cls).parameters)
    return BindError("unknown", name, message, "   ".join(filter(None, (near, constructor_text(cls)))))


def _too_many_error(cls: type, takes: int, given: int) -> BindError:
    limit = f"at most {takes} argument{'s' * (takes != 1)} by position" if takes else "no arguments by position"
    if not constructor_signature(cls).parameters:
        limit = "no arguments"
    message = f"{cls.__name__} takes {limit}, but {given} {'is' if given == 1 else 'are'} given"
    return BindError("many", "", message, constructor_text(cls, defaults=99))


def _missing_error(cls: type, names: list[str]) -> BindError:
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return BindError("missing", names[0], f"{cls.__name__} needs {listed}", constructor_text(cls))


# The snapshot for the schema.


def signature_snapshot() -> dict[str, object]:
    """Return every layer's arguments, defaults and inferred arguments as JSON data."""
    return {
        "layers": {name: _layer_entry(cls) for name, cls in torch_layers().items()},
        "refused": dict(REFUSED_MODULES),
    }


def _layer_entry(cls: type) -> dict[str, object]:
    inferred = {name for name, _, _ in INFERRED_ARGUMENTS.get(cls.__name__, ())}
    parameters = constructor_signature(cls).parameters.values()
    return {"text": constructor_text(cls), "arguments": [_argument_entry(p, inferred) for p in parameters]}


def _argument_entry(parameter: Parameter, inferred: set[str]) -> dict[str, object]:
    entry: dict[str, object] = {"name": parameter.name}
    if parameter.default is Parameter.empty:
        entry["required"] = parameter.name not in inferred
    else:
        entry["default"] = getattr(parameter.default, "__name__", parameter.default)
    if parameter.kind is Parameter.KEYWORD_ONLY:
        entry["keyword_only"] = True
    return entry | ({"inferred": True} if parameter.name in inferred else {})


def main(path: str) -> None:
    """Write the snapshot into a JSON file."""
    Path(path).write_text(json.dumps(signature_snapshot(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
