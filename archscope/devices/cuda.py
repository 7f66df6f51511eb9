"""The backend of CUDA GPUs: events, caching allocator, graphs, settings. Only this module calls `torch.cuda`."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.profiler import ProfilerActivity

from archscope.devices import cpu, precision
from archscope.devices.protocol import Action, DeviceProblem, GetSetPair
from archscope.errors import first_line
from archscope.machine import DeviceTraits, Machine

CUDA_TRAITS = DeviceTraits(
    kind="cuda",
    allocator_granule=512,
    is_async=True,
    joint_steps=True,
    tf32=True,
    fragmentation_share=0.05,
    idle_cause="the GPU waits for launches",
)
DRIVER_FILE = Path("/proc/driver/nvidia/version")
CONTEXT_BYTES = 2 * 1024**3
"""The bytes that a process may hold on a GPU beside its tensors; what is missing beyond that belongs to others."""

WARMUP_STEPS = 3
"""The number of warm-up steps on a side stream before a capture that torch recommends."""

ATTENTION_SWITCHES = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
CUDNN_SWITCHES = ("enabled", "benchmark", "deterministic")
REDUCED_PRECISION_SWITCHES = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
OTHER_DEVICES_HELP = 'device="cpu" runs on the CPU, device="meta" without memory'
WHICH_PROCESS = "nvidia-smi says which process"
UNOPENED = {
    "out of memory": f"other work holds its memory, {WHICH_PROCESS}",
    "busy or unavailable": f"another process uses it exclusively, {WHICH_PROCESS}",
    "no kernel image": "this torch is not built for this GPU: install one that is",
}
"""A word of the error with which a GPU refuses all work → what helps."""


class CudaClock:
    """A clock of events in the current stream. The time between two events includes the time in which the GPU waits.

    A sample begins while the GPU waits for its first kernel, so it must be long in comparison.
    """

    min_seconds = 5e-3

    def __init__(self, device: torch.device):
        self._device = device

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)

    def seconds_between(self, first: torch.cuda.Event, second: torch.cuda.Event) -> float:
        return first.elapsed_time(second) / 1000


class CudaAllocatorPeak:
    """The allocator's peak above what is left allocated.

    The peak statistics are reset for every kernel, and cannot be restored.
    """

    def __init__(self, device: torch.device):
        self._device = device

    def start(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def scratch_bytes(self) -> int:
        stats = torch.cuda.memory.memory_stats_as_nested_dict(self._device)["allocated_bytes"]["all"]
        return int(stats["peak"] - stats["current"])


class CudaBackend:
    """One GPU: `cuda`, the current one, or `cuda:1`."""

    traits: ClassVar[DeviceTraits] = CUDA_TRAITS
    activities: ClassVar[Sequence[ProfilerActivity]] = (ProfilerActivity.CPU, ProfilerActivity.CUDA)

    def __init__(self, device: str):
        self._device = torch.device(device)

    # -------------------------------------------------------- of the kind
    @classmethod
    def is_available(cls) -> bool:
        """Torch warns if the driver does not work; `device_problem` reports that as an error instead."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.cuda.is_available()

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count() if cls.is_available() else 0)]

    @classmethod
    def unused_device_problem(cls) -> DeviceProblem | None:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        return None if cls.is_available() or hidden or not DRIVER_FILE.exists() else _cuda_problem()

    @classmethod
    def device_problem(cls, device: str) -> DeviceProblem | None:
        fact, names = f"there is no device {device!r} here", cls.device_names()
        if not names:
            problem = _cuda_problem()
            return DeviceProblem(f"{fact}: {problem.fact}", f"{problem.help}; {OTHER_DEVICES_HELP}")
        if (torch.device(device).index or 0) < len(names):
            return None
        there = f"there are {names[0]} to {names[-1]}" if names[1:] else f"there is {names[0]}"
        return DeviceProblem(f"{fact}: {there}", f'device="{names[0]}"')

    @classmethod
    def is_initialized(cls) -> bool:
        return torch.cuda.is_initialized()

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        return ((torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all),) if cls.is_initialized() else ()

    @classmethod
    def settings(cls) -> Sequence[GetSetPair]:
        """Return the settings, which torch has even without a GPU."""
        gpu: Any = torch.backends.cuda
        return (
            *((getattr(gpu, f"{name}_enabled"), getattr(gpu, f"enable_{name}")) for name in ATTENTION_SWITCHES),
            *(_attribute_accessors(torch.backends.cudnn, name) for name in CUDNN_SWITCHES),
            *(_attribute_accessors(torch.backends.cuda.matmul, name) for name in REDUCED_PRECISION_SWITCHES),
        )

    @classmethod
    def seed(cls, seed: int) -> None:
        if cls.is_initialized():
            torch.cuda.manual_seed_all(seed)

    @classmethod
    def synchronize_all(cls) -> None:
        if cls.is_initialized():
            torch.cuda.synchronize()

    # -------------------------------------------------------- time and memory
    def unopened(self) -> DeviceProblem | None:
        try:
            _touch(self._device)
        except RuntimeError as error:
            message = _in_short(error)
            fix = next((fix for words, fix in UNOPENED.items() if words in message), "nvidia-smi shows its state")
            return DeviceProblem(
                f"{self._device} is here, but cannot be used: {message}", f"{fix}; {OTHER_DEVICES_HELP}"
            )
        return None

    def initialize(self) -> None:
        torch.cuda.init()

    def as_current(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self._device)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)

    def clock(self) -> CudaClock:
        return CudaClock(self._device)

    def allocator_peak(self) -> CudaAllocatorPeak:
        return CudaAllocatorPeak(self._device)

    def disable_autotuning(self) -> None:
        torch.backends.cudnn.benchmark = False

    def peak_bytes(self, run: Action) -> int:
        """Return the peak by the allocator's statistics, which are reset. The run must have run once before, so that
        what libraries allocate permanently is there already."""
        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        result = run()
        self.synchronize()
        del result
        return torch.cuda.max_memory_allocated(self._device) - before

    def free_bytes(self) -> int:
        idle = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(torch.cuda.mem_get_info(self._device)[0]) + idle

    def bytes_held_by_others(self) -> int:
        """Return what others hold; small amounts are taken for this process's own context."""
        free, total = torch.cuda.mem_get_info(self._device)
        rest = total - free - torch.cuda.memory_reserved(self._device)
        return rest if rest > CONTEXT_BYTES else 0

    # -------------------------------------------------------- what it is
    def machine(self) -> Machine:
        index = torch.cuda.current_device() if self._device.index is None else self._device.index
        properties = torch.cuda.get_device_properties(index)
        products, convolutions = precision.tf32_allowed()
        cudnn = torch.backends.cudnn
        return Machine(
            device=f"cuda:{index}",
            name=properties.name,
            cores=properties.multi_processor_count,
            memory=properties.total_memory,
            cache=properties.L2_cache_size,
            driver=_driver_version(),
            versions=(
                *cpu.software_versions(),
                ("cuda", torch.version.cuda or ""),
                ("cudnn", str(cudnn.version())),
            ),
            settings=(
                ("threads", torch.get_num_threads()),
                ("tf32", products),
                ("tf32_conv", convolutions),
                ("cudnn_benchmark", cudnn.benchmark),
                ("cudnn_deterministic", cudnn.deterministic),
            ),
            traits=CUDA_TRAITS,
        )

    def has_tf32(self) -> bool:
        return torch.cuda.get_device_capability(self._device) >= (8, 0)

    # -------------------------------------------------------- graphs
    def capture_graph(self, step: Action, forget: Action) -> Action:
        """Capture a step after warm-up steps and one step that may not wait for the GPU.

        A capture that fails leaves nothing behind: no pending work, no allocator that keeps memory apart, no generator
        that waits for a replay. Warnings are suppressed, since the step has already given them.
        """
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream(self._device)
        usual = torch.cuda.current_stream(self._device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                side.wait_stream(usual)
                with torch.cuda.stream(side):
                    for _ in range(WARMUP_STEPS):
                        step()
                    with _synchronizing_forbidden():
                        step()
                usual.wait_stream(side)
                forget()
                gc.collect()
                self.synchronize()
                torch.cuda.empty_cache()
                self._capture_into(graph, side, step)
        except BaseException:
            with suppress(RuntimeError):
                self.synchronize()
            raise
        return graph.replay

    def repeat_call(self, call: Action, times: int) -> Action:
        """Capture the calls as one graph, since each launch would take longer than the call. Caches are not emptied
        before, as for a whole step, since that takes far longer than the calls."""
        call()
        self.synchronize()
        graph = torch.cuda.CUDAGraph()

        def several() -> None:
            for _ in range(times):
                call()

        self._capture_into(graph, torch.cuda.Stream(self._device), several)
        return graph.replay

    def _capture_into(self, graph: torch.cuda.CUDAGraph, side: torch.cuda.Stream, step: Action) -> None:
        """Record what the step launches, in a memory pool of the graph's own. Raises what the step raises, else
        torch's."""
        pool = torch.cuda.graph_pool_handle()
        with torch.cuda.stream(side):
            graph.capture_begin(pool=pool)
            try:
                step()
            except BaseException:
                with suppress(RuntimeError):
                    self._end_capture(graph, pool)
                raise
            self._end_capture(graph, pool)

    def _end_capture(self, graph: torch.cuda.CUDAGraph, pool: Any) -> None:
        """End a capture, and undo its effects if that fails.

        If something broke the capture, torch raises and leaves the allocator and the generator in capture state: here
        both are reset. If only the last step failed, so that a graph was made, the allocator refuses to end twice, and
        the graph frees its memory itself.
        """
        try:
            graph.capture_end()
        except RuntimeError:
            index = torch.cuda.current_device() if self._device.index is None else self._device.index
            allocator: Any = torch._C
            generator: Any = torch.cuda.default_generators[index]
            with suppress(RuntimeError):
                allocator._cuda_endAllocateToPool(index, pool)
                allocator._cuda_releasePool(index, pool)
            with suppress(RuntimeError):
                generator.graphsafe_set_state(generator.clone_state())
            raise


def _cuda_problem() -> DeviceProblem:
    """Return why torch can use no GPU, and what helps."""
    if torch.version.cuda is None and torch.version.hip is None:
        return DeviceProblem(
            f"this torch, {torch.__version__}, is built without CUDA", "install a torch that is built for CUDA"
        )
    try:
        torch.cuda.init()
        message = "torch finds no GPU"
    except (RuntimeError, AssertionError) as error:
        message = _in_short(error)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "too old" in message:
        fix = f"update the driver, or install a torch that is built for an older CUDA than {torch.version.cuda}"
    elif hidden is not None and "No CUDA GPUs" in message:
        fix = f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides all other GPUs: unset it"
    else:
        fix = "nvidia-smi says whether there is a GPU and a driver; CUDA_VISIBLE_DEVICES hides GPUs"
    return DeviceProblem(message, fix)


def _in_short(error: BaseException) -> str:
    """Return the essential part of torch's error message; if it cites CUDA's message, that one."""
    message = first_line(error)
    cited = re.search(r"\bError \d+: .+|(?<=CUDA error: ).+", message)
    return cited[0] if cited else re.split(r"\. | - ", message)[0].rstrip(".")


def _touch(device: torch.device) -> None:
    """Allocate memory, launch a kernel and read the result: raises if the GPU cannot do that."""
    torch.ones(1, device=device).neg().item()


@contextmanager
def _synchronizing_forbidden() -> Iterator[None]:
    """Inside, torch raises where it would wait for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _attribute_accessors(owner: Any, name: str) -> GetSetPair:
    def read() -> Any:
        return getattr(owner, name)

    return read, lambda value: setattr(owner, name, value)


def _driver_version() -> str:
    """Return the driver's version; if that is unknown, the CUDA version that it supports; else an empty string."""
    with suppress(OSError):
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", DRIVER_FILE.read_text())
        if found:
            return found[1]
    served = ctypes.c_int()
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if library.cuDriverGetVersion(ctypes.byref(served)) == 0:
            return f"CUDA {served.value // 1000}.{served.value % 1000 // 10}"
    return ""
