"""Who looks on at kernels: a dispatch mode that torch's compiler is told nothing of."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class KernelMode(TorchDispatchMode):
    """Under it nothing is compiled. Else torch would load its compiler when the first kernel comes by, which takes a
    second, and keeps what is alive at that moment alive for good."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
