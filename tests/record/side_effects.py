"""A model with side effects of every kind, and the state of all that they change.

SIDE_EFFECTS: name → function that the forward pass calls first
object_state(model), process_state() → plain data that can be compared
"""

from __future__ import annotations

import gc
import hashlib
import random
import sys
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.nn.utils import prune
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

SideEffect = Callable[["SideEffectModel", Tensor], object]


class Cache:
    """Keeps things for a module, as caches do."""

    shared: int = 0

    def __init__(self) -> None:
        self.uses, self.items = 0, ["first"]


class SideEffectModel(nn.Module):
    """A linear layer, a norm and dropout. side_effect: runs before them. end: is raised after them."""

    passes = 0

    def __init__(self, side_effect: SideEffect | None = None, end: BaseException | None = None):
        super().__init__()
        self.fc, self.norm, self.drop = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout()
        self.table = nn.Embedding(5, 4, max_norm=0.1)
        self.register_buffer("seen", torch.zeros(4))
        self.count, self.cache, self.parts = 0, [torch.zeros(4)], [nn.BatchNorm1d(4)]
        self.named: Any = {"inner": [1]}
        self.ordered, self.missing = OrderedDict(a=1, b=2), defaultdict(list)
        self.queue, self.tally, self.members = deque([1, 2], maxlen=3), Counter("ab"), {1, 2}
        self.memory, self.space, self.array = Cache(), SimpleNamespace(step=0), np.zeros(3)
        self.bytes = bytearray(b"ab")
        self.generator, self.dice, self.draws = torch.Generator(), random.Random(0), np.random.default_rng(0)
        self.handle = self.fc.register_forward_hook(nothing)
        self._side_effect, self._end = side_effect, end

    def forward(self, x: Tensor) -> Tensor:
        if self._side_effect is not None:
            self._side_effect(self, x)
        y = self.drop(self.norm(self.fc(x)))
        if self._end is not None:
            raise self._end
        return y


def nothing(*_given: Any) -> None:
    return None


class Scripted(nn.Module):
    """Counts in C++."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.count = nn.BatchNorm1d(4), torch.jit.Attribute(0, int)
        self.kept = torch.jit.Attribute([], list[Tensor])

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.kept.append(x)
        return self.norm(x)


# ------------------------------------------------------------ side effects
def counts(m: SideEffectModel, x: Tensor) -> None:
    m.count += 1
    type(m).passes += 1
    m.space.step += 1
    m.memory.uses += 1
    Cache.shared += 1


def collects(m: SideEffectModel, x: Tensor) -> None:
    m.cache.append(x)
    m.named["x"] = x
    m.named["inner"].append(2)
    m.ordered.move_to_end("a")
    m.missing["new"].append(1)
    m.queue.append(3)
    m.queue.append(4)
    m.tally.update("b")
    m.members.add(3)
    m.memory.items.append("second")
    m.bytes += b"c"
    m.array += 1


def sets_attributes(m: SideEffectModel, x: Tensor) -> None:
    m.fresh = x
    m.fc.fresh = x
    m.named = {}
    del m.count


def makes_modules(m: SideEffectModel, x: Tensor) -> None:
    m.extra, m.scale = nn.Linear(4, 4), nn.Parameter(torch.ones(4))
    m.fc.weight = nn.Parameter(torch.zeros(4, 4))
    m.fc.register_buffer("more", torch.zeros(2))
    m.norm.add_module("inside", nn.ReLU())
    del m.drop
    m.drop = nn.Dropout(0.1)


def reloads(m: SideEffectModel, x: Tensor) -> None:
    m.load_state_dict({name: value * 0 for name, value in m.state_dict().items()}, assign=True)
    m.apply(lambda part: part.register_buffer("mark", torch.ones(1)))
    del m.fc.bias
    m.fc.register_parameter("bias", None)


def parametrizes(m: SideEffectModel, x: Tensor) -> None:
    nn.utils.parametrizations.weight_norm(m.fc)
    prune.l1_unstructured(m.table, "weight", amount=2)


@torch.no_grad()
def writes_weights(m: SideEffectModel, x: Tensor) -> None:
    m.fc.weight.add_(1)
    m.fc.weight[0].zero_()
    m.fc.bias.view(-1)[1:].fill_(7)
    m.norm.weight.data.mul_(2)
    m.norm.bias.data = torch.ones(4)
    m.table(torch.tensor([1, 2]))


@torch.no_grad()
def writes_buffers(m: SideEffectModel, x: Tensor) -> None:
    m.seen += 1
    m.seen[1:] = 4
    torch.add(m.seen, 1, out=m.seen)
    torch.set_grad_enabled(False)
    m.norm.running_mean = torch.ones(4)
    m.cache[0].add_(1)
    m.parts[0].running_var[0] = 5


def freezes(m: SideEffectModel, x: Tensor) -> None:
    m.fc.weight.requires_grad_(False)
    m.fc.bias.requires_grad = False


def derives(m: SideEffectModel, x: Tensor) -> None:
    with torch.enable_grad():
        m.fc(x.detach()).square().sum().backward()
        torch.autograd.backward(m.norm.weight.sum())
    m.norm.bias.grad = torch.ones(4)


def writes_its_input(m: SideEffectModel, x: Tensor) -> None:
    with torch.no_grad():
        x.mul_(2)
        x[0].zero_()


def registers_hooks(m: SideEffectModel, x: Tensor) -> None:
    m.fc.register_forward_hook(nothing)
    m.norm.register_forward_pre_hook(nothing)
    m.fc.register_full_backward_hook(nothing)
    m.norm.weight.register_hook(nothing)
    m.parts[0].register_forward_hook(nothing)
    module_hooks.register_module_forward_hook(nothing)
    m.handle.remove()


def changes_modes(m: SideEffectModel, x: Tensor) -> None:
    m.train(not m.training)
    m.norm.eval()
    m.parts[0].eval()


def draws(m: SideEffectModel, x: Tensor) -> None:
    torch.manual_seed(1)
    torch.rand(2)
    random.seed(2)
    np.random.seed(3)  # noqa: NPY002 — the old generator is everybody's
    torch.rand(2, generator=m.generator)
    m.dice.random()
    m.draws.random()


def sets_process_settings(m: SideEffectModel, x: Tensor) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_math_sdp(False)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.autograd.set_detect_anomaly(True)
    torch.autograd.set_multithreading_enabled(False)
    torch.set_autocast_cache_enabled(False)
    torch.utils.deterministic.fill_uninitialized_memory = False
    warnings.simplefilter("ignore")
    gc.enable()
    gc.set_threshold(5, 6, 7)
    torch.set_grad_enabled(not torch.is_grad_enabled())
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.set_autocast_enabled("cpu", False)


def enters_modes(m: SideEffectModel, x: Tensor) -> None:
    torch.set_default_device("cpu")
    torch.autocast("cpu", torch.bfloat16).__enter__()
    torch.overrides.BaseTorchFunctionMode().__enter__()


def sets_the_default_dtype(m: SideEffectModel, x: Tensor) -> None:
    torch.set_default_dtype(torch.float64)


SIDE_EFFECTS: dict[str, SideEffect] = {
    side_effect.__name__.replace("_", " "): side_effect
    for side_effect in (
        *(counts, collects, sets_attributes, makes_modules, reloads, parametrizes, writes_weights, writes_buffers),
        *(freezes, derives),
        *(
            writes_its_input,
            registers_hooks,
            changes_modes,
            draws,
            sets_process_settings,
            enters_modes,
            sets_the_default_dtype,
        ),
    )
}


# ------------------------------------------------------------ states
def object_state(*things: Any) -> dict[str, object]:
    """All that these things hold: of modules by their paths, of anything else by its position."""
    found: dict[str, object] = {}
    for index, thing in enumerate(things):
        for path, module in thing.named_modules() if isinstance(thing, nn.Module) else [("", thing)]:
            for name, value in vars(module).items() if isinstance(module, nn.Module) else [("", module)]:
                found[f"{index} {path} {name}"] = plain_state(value)
    found["classes"] = SideEffectModel.passes, Cache.shared
    return found


def plain_state(value: Any) -> object:
    """Plain values as they are; everything else by its identity and what it holds."""
    if isinstance(value, (bool, int, float, str, bytes, bytearray, type(None))):
        return value if not isinstance(value, bytearray) else (id(value), bytes(value))
    if isinstance(value, Tensor):
        return digest(value)
    if isinstance(value, (list, tuple, deque)):
        return id(value), [plain_state(item) for item in value]
    if isinstance(value, dict):
        return id(value), [(str(key), plain_state(item)) for key, item in value.items()]
    if isinstance(value, (Cache, SimpleNamespace)):
        return id(value), plain_state(vars(value))
    if isinstance(value, nn.Module):
        return id(value), type(value), [plain_state(item) for item in vars(value).values()]
    return id(value), state(value)


def state(value: Any) -> object:
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    return value.tobytes() if isinstance(value, np.ndarray) else sorted(value) if isinstance(value, set) else None


def digest(tensor: Tensor) -> tuple[object, ...]:
    """Identity, memory, shape, version, contents, gradient and hooks of a tensor."""
    contents = hashlib.sha256(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    gradient = digest(tensor.grad) if tensor.is_leaf and tensor.grad is not None else None
    hooks = len(tensor._backward_hooks or ())
    where = tensor.data_ptr(), tuple(tensor.shape)
    return id(tensor), where, tensor._version, tensor.requires_grad, contents, gradient, hooks


def process_state() -> dict[str, object]:
    """The process: modes, settings, generators, hooks, and what an analysis puts its own functions in place of."""
    hooks = [value for name, value in vars(module_hooks).items() if name.startswith("_global_") and "hook" in name]
    methods = ("__call__", "__setattr__", "__delattr__", "register_buffer", "register_parameter", "add_module")
    return {
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "defaults": (torch.get_default_dtype(), str(torch.empty(0).device)),
        "default device": getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), nested()),
        "determinism": (torch.get_deterministic_debug_mode(), torch.get_float32_matmul_precision()),
        "attention": (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()),
        "attention by products": torch.backends.cuda.math_sdp_enabled(),
        "cudnn": torch.backends.cudnn.benchmark,
        "threads": (torch.get_num_threads(), torch.autograd.is_multithreading_enabled()),
        "memory": (torch.utils.deterministic.fill_uninitialized_memory, torch.is_autocast_cache_enabled()),
        "warnings": list(warnings.filters),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "stacks": (torch.overrides._get_current_function_mode_stack(), _get_current_dispatch_mode_stack()),
        "hooks": [list(table) for table in hooks if isinstance(table, dict)],
        "methods": [getattr(nn.Module, name) for name in methods],
        "graphs": (torch._C.ScriptFunction.__call__, torch._C.ScriptMethod.__call__),
        "handles": torch.utils.hooks.RemovableHandle.remove,
        "path": (list(sys.path), torch.compiler.is_compiling()),
        "numbers": (torch.get_rng_state().numpy().tobytes(), random.getstate(), str(np.random.get_state())),  # noqa: NPY002 — the old generator is everybody's
    }


def nested() -> int:
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()
