"""The fallback: one torch function run again on meta copies of its arguments, its aten operators kept as kernels.

function, arguments → meta copies → TorchDispatchMode → Kernels; None where the meta device cannot run it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from archscope.cost import FORMULAS
from archscope.record import sparse_and_nested
from archscope.record.kernel_mode import KernelMode
from archscope.record.op_call import is_strided
from archscope.record.tensors import SPARSE_LAYOUTS, shape_of, stored_elements, tensors_in
from archscope.trace import Kernel, Shape

PRICED_ATTRIBUTES = (
    "transposed",
    "expand1",
    "expand2",
    "expand3",
    "output_mask",
    "mask",
    "num_layers",
    "unitriangular",
)
"""The arguments of torch's kernels that a price needs; those of other people's are kept, for formulas of theirs."""


class KernelLog(KernelMode):
    """Writes down every aten operator that runs under it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.kernels.extend(operator_kernels(func, args, kwargs, out))
        return out


def make_kernel(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> Kernel:
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    ours = func._schema.name.startswith(("aten::", "prims::"))
    told = {name: value for name, value in given.items() if name in PRICED_ATTRIBUTES or not ours}
    attributes = [(name, as_tuple(value)) for name, value in told.items() if not isinstance(value, torch.Tensor)]
    read = tensors_in([args, kwargs])
    if any(tensor.layout in SPARSE_LAYOUTS for tensor in read):
        attributes.append(("stored", tuple(map(stored_elements, read))))
    made = tensors_in(out)
    if any(tensor.is_nested for tensor in (*read, *made)):
        attributes.append(("nested", True))
    inputs, outputs = tuple(map(kernel_shape, read)), tuple(map(kernel_shape, made))
    return Kernel(func._schema.name.replace("::", "."), inputs, outputs, tuple(attributes))


def operator_kernels(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> tuple[Kernel, ...]:
    """The kernel of an operator that ran; of a product of nested tensors one for each of their parts."""
    one = make_kernel(func, args, kwargs, out)
    if one.name not in FORMULAS or not one.get("nested"):
        return (one,)
    read, made = tensors_in([args, kwargs]), tensors_in(out)
    try:
        with torch._C.DisableTorchFunction():
            parts = sparse_and_nested.nested_parts(*read, *made)
    except (NotImplementedError, RuntimeError, ValueError):  # on meta nobody knows how long the parts are
        return (one,)
    told = tuple(attribute for attribute in one.attributes if attribute[0] != "nested")
    shapes = [tuple(map(shape_of, part)) for part in parts]
    return tuple(Kernel(one.name, part[: len(read)], part[len(read) :], told) for part in shapes)


def kernel_shape(tensor: torch.Tensor) -> Shape:
    """The shape; of a nested tensor, which has none, how many elements it holds."""
    return (tensor.numel(),) if tensor.is_nested else shape_of(tensor)


def as_tuple(value: Any) -> object:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def replay(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Kernel, ...] | None:
    """The kernels of `func(*args, **kwargs)` on the meta device; None where it cannot run there. Leaves no trace,
    also with whoever watches kernels."""
    copies: dict[int, torch.Tensor] = {}
    state = torch.get_rng_state()
    try:
        with torch.inference_mode(False), torch.no_grad(), _disable_current_modes():
            args, kwargs = to_meta(args, copies), to_meta(dict(kwargs), copies)
            with KernelLog() as kernels:
                func(*args, **kwargs)
    except Exception:  # noqa: BLE001 — whatever the meta device or the function says: there is no price
        return None
    finally:
        torch.set_rng_state(state)
    return tuple(kernels.kernels)


def to_meta(value: Any, copies: dict[int, torch.Tensor]) -> Any:
    """`value` with every tensor as an empty meta tensor (one per identity) and every device as meta."""
    if isinstance(value, torch.Tensor):
        if id(value) not in copies:
            copies[id(value)] = meta_like(value)
        return copies[id(value)]
    if isinstance(value, dict):
        return {key: "meta" if key == "device" else to_meta(item, copies) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(to_meta(item, copies) for item in value)
    if isinstance(value, torch.Generator):
        return None
    return torch.device("meta") if isinstance(value, torch.device) else value


def meta_like(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same shape and strides. Raises TypeError for one that has no strides."""
    if not is_strided(tensor):
        raise TypeError("a sparse or nested tensor has no strides")
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
