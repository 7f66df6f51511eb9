"""Replay: a torch function runs again on meta copies of its arguments, and its aten operators are recorded as kernels.

function, arguments → meta copies → TorchDispatchMode → Kernels; None if the meta device cannot run it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from archscope.cost import FORMULAS
from archscope.record.kernel_mode import KernelMode
from archscope.record.op_call import SPARSE_LAYOUTS, is_strided, shape_of, stored_elements, tensors_in
from archscope.record.product_kernels import nested_parts
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
"""The arguments of torch's kernels that a formula needs; of other libraries' kernels all arguments are kept."""


class KernelLog(KernelMode):
    """A dispatch mode that records every aten operator that runs under it."""

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
    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
    is_torch = func._schema.name.startswith(("aten::", "prims::"))
    relevant = {name: value for name, value in arguments.items() if name in PRICED_ATTRIBUTES or not is_torch}
    attributes: list[tuple[str, object]] = [
        (name, tuple(value) if isinstance(value, (list, tuple)) else value)
        for name, value in relevant.items()
        if not isinstance(value, torch.Tensor)
    ]
    operands = tensors_in([args, kwargs])
    if any(tensor.layout in SPARSE_LAYOUTS for tensor in operands):
        attributes.append(("stored", tuple(map(stored_elements, operands))))
    results = tensors_in(out)
    if any(tensor.is_nested for tensor in (*operands, *results)):
        attributes.append(("nested", True))
    inputs, outputs = tuple(map(kernel_shape, operands)), tuple(map(kernel_shape, results))
    return Kernel(func._schema.name.replace("::", "."), inputs, outputs, tuple(attributes))


def operator_kernels(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> tuple[Kernel, ...]:
    """Return the kernel of an operator that ran; of a product of nested tensors, one kernel for each part."""
    kernel = make_kernel(func, args, kwargs, out)
    if kernel.name not in FORMULAS or not kernel.get("nested"):
        return (kernel,)
    operands, results = tensors_in([args, kwargs]), tensors_in(out)
    try:
        with torch._C.DisableTorchFunction():
            parts = nested_parts(*operands, *results)
    except (NotImplementedError, RuntimeError, ValueError):  # on meta the lengths of the parts are unknown
        return (kernel,)
    attributes = tuple(attribute for attribute in kernel.attributes if attribute[0] != "nested")
    shapes = [tuple(map(shape_of, part)) for part in parts]
    return tuple(Kernel(kernel.name, part[: len(operands)], part[len(operands) :], attributes) for part in shapes)


def kernel_shape(tensor: torch.Tensor) -> Shape:
    """Return the shape; of a nested tensor, which has none, the number of its elements."""
    return (tensor.numel(),) if tensor.is_nested else shape_of(tensor)


def replay(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Kernel, ...] | None:
    """Return the kernels of `func(*args, **kwargs)` on the meta device; None if it cannot run there.

    Random state is restored, and other modes see nothing.
    """
    copies: dict[int, torch.Tensor] = {}
    state = torch.get_rng_state()
    try:
        with torch.inference_mode(False), torch.no_grad(), _disable_current_modes():
            args, kwargs = to_meta(args, copies), to_meta(dict(kwargs), copies)
            with KernelLog() as kernels:
                func(*args, **kwargs)
    except Exception:  # noqa: BLE001 — whatever is raised: there are no kernels to price
        return None
    finally:
        torch.set_rng_state(state)
    return tuple(kernels.kernels)


def to_meta(value: Any, copies: dict[int, torch.Tensor]) -> Any:
    """Return `value` with every tensor as an empty meta tensor of the same shape and strides (one per identity), and
    every device as meta. Raises TypeError for a tensor without strides."""
    if isinstance(value, torch.Tensor):
        if id(value) not in copies:
            if not is_strided(value):
                raise TypeError("a sparse or nested tensor has no strides")
            copies[id(value)] = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
        return copies[id(value)]
    if isinstance(value, dict):
        return {key: "meta" if key == "device" else to_meta(item, copies) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(to_meta(item, copies) for item in value)
    if isinstance(value, torch.Generator):
        return None
    return torch.device("meta") if isinstance(value, torch.device) else value
