"""A GPU by CUDA: its events, its caching allocator, its graphs, its switches. What calls `torch.cuda` stands here."""

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

from archscope.backends import precision, processor
from archscope.backends.protocol import Action, DeviceProblem, GetSetPair
from archscope.device_traits import DeviceTraits
from archscope.measurement import Machine

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
"""Bytes that a process may hold on a GPU beside its tensors; what is missing beyond that belongs to others."""

WARMUP_STEPS = 3
"""Steps on a side stream before a capture, as torch asks for."""

ATTENTION_SWITCHES = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
CUDNN_SWITCHES = ("enabled", "benchmark", "deterministic")
REDUCED_PRECISION_SWITCHES = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
OTHER_DEVICES_HELP = 'device="cpu" runs on the CPU, device="meta" without memory'
WHO = "nvidia-smi says which process"
UNOPENED = {
    "out of memory": f"other work holds its memory, {WHO}",
    "busy or unavailable": f"another process has it for itself, {WHO}",
    "no kernel image": "this torch is not built for this GPU: install one that is",
}
"""What helps against errors with which a GPU that is there refuses all work."""


class CudaClock:
    """Events in the current stream: between two of them lies what the GPU did meanwhile, its waiting included. A sample
    begins with a GPU that waits for its first kernel, so it lasts long beside that."""

    min_seconds = 5e-3

    def __init__(self, place: torch.device):
        self._device = place

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)

    def seconds_between(self, first: torch.cuda.Event, second: torch.cuda.Event) -> float:
        return first.elapsed_time(second) / 1000


class CudaAllocatorPeak:
    """How far the allocator's high-water mark lies above what is left. The mark is begun anew for every kernel; nobody
    can give it back."""

    def __init__(self, place: torch.device):
        self._device = place

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
        """Torch warns where a driver does not serve; whoever asks for a GPU is told that as a refusal."""
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
            why = _cuda_problem()
            return DeviceProblem(f"{fact}: {why.fact}", f"{why.cure}; {OTHER_DEVICES_HELP}")
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
        """Torch has them where there is no GPU, too."""
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
            said = _in_short(error)
            cure = next((cure for words, cure in UNOPENED.items() if words in said), "nvidia-smi says how it is")
            return DeviceProblem(f"{self._device} is here, but cannot be used: {said}", f"{cure}; {OTHER_DEVICES_HELP}")
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
        """By the allocator's high-water mark, which this begins anew. The run must have run before, so that what
        libraries keep for good is there already."""
        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        given = run()
        self.synchronize()
        del given
        return torch.cuda.max_memory_allocated(self._device) - before

    def free_bytes(self) -> int:
        idle = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(torch.cuda.mem_get_info(self._device)[0]) + idle

    def bytes_held_by_others(self) -> int:
        """Beyond what this process's own context may."""
        free, total = torch.cuda.mem_get_info(self._device)
        rest = total - free - torch.cuda.memory_reserved(self._device)
        return rest if rest > CONTEXT_BYTES else 0

    # -------------------------------------------------------- what it is
    def machine(self) -> Machine:
        index = torch.cuda.current_device() if self._device.index is None else self._device.index
        properties = torch.cuda.get_device_properties(index)
        products, convolutions = precision.tf32_allowed()
        found = torch.backends.cudnn
        return Machine(
            device=f"cuda:{index}",
            name=properties.name,
            cores=properties.multi_processor_count,
            memory=properties.total_memory,
            cache=properties.L2_cache_size,
            driver=_driver_version(),
            versions=(
                *processor.software_versions(),
                ("cuda", torch.version.cuda or ""),
                ("cudnn", str(found.version())),
            ),
            settings=(
                ("threads", torch.get_num_threads()),
                ("tf32", products),
                ("tf32_conv", convolutions),
                ("cudnn_benchmark", found.benchmark),
                ("cudnn_deterministic", found.deterministic),
            ),
            traits=CUDA_TRAITS,
        )

    def has_tf32(self) -> bool:
        return torch.cuda.get_device_capability(self._device) >= (8, 0)

    # -------------------------------------------------------- graphs
    def capture_graph(self, step: Action, forget: Action) -> Action:
        """What waits for the GPU is looked for before, as far as torch tells of it. A capture that breaks off leaves
        nothing behind: no work that is still going on, no allocator that keeps its memory apart, no generator that
        waits for a replay. What the step warns of it has said before."""
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
        """As one graph, since starting each by hand would take longer than it lasts. Nothing is cleared away before, as
        is done for a whole step: that takes far longer than the calls."""
        call()
        self.synchronize()
        graph = torch.cuda.CUDAGraph()

        def several() -> None:
            for _ in range(times):
                call()

        self._capture_into(graph, torch.cuda.Stream(self._device), several)
        return graph.replay

    def _capture_into(self, graph: torch.cuda.CUDAGraph, side: torch.cuda.Stream, step: Action) -> None:
        """What the step launches, in memory of the graph's own. Raises what the step raises, else what torch does."""
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
        """Torch ends a capture that something broke with an error, and forgets what the capture had changed then: the
        allocator still puts aside what is asked for, and the generator still counts for the graph. Where only the last
        step failed, which makes a graph of what was captured, the allocator refuses to end twice: then the graph gives
        its memory back itself."""
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
    """Why torch can use no GPU, and what helps."""
    if torch.version.cuda is None and torch.version.hip is None:
        return DeviceProblem(
            f"this torch, {torch.__version__}, is built without CUDA", "install a torch that is built for CUDA"
        )
    try:
        torch.cuda.init()
        said = "torch finds no GPU"
    except (RuntimeError, AssertionError) as error:
        said = _in_short(error)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "too old" in said:
        cure = f"update the driver, or install a torch that is built for an older CUDA than {torch.version.cuda}"
    elif hidden is not None and "No CUDA GPUs" in said:
        cure = f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides all other GPUs: unset it"
    else:
        cure = "nvidia-smi says whether there is a GPU and a driver; CUDA_VISIBLE_DEVICES hides GPUs"
    return DeviceProblem(said, cure)


def _in_short(error: BaseException) -> str:
    """What is the matter, of what torch says with it; where it cites CUDA, what CUDA says."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    cited = re.search(r"\bError \d+: .+|(?<=CUDA error: ).+", said)
    return cited[0] if cited else re.split(r"\. | - ", said)[0].rstrip(".")


def _touch(place: torch.device) -> None:
    """The first thing that a GPU must be able to do: some memory, a kernel, a result."""
    torch.ones(1, device=place).neg().item()


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
    def take() -> Any:
        return getattr(owner, name)

    return take, lambda value: setattr(owner, name, value)


def _driver_version() -> str:
    """The driver's version; where only that can be had, the CUDA version that it serves; else nothing."""
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
