"""A dispatch mode that sees kernels, and does not load torch's compiler."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class KernelMode(TorchDispatchMode):
    """Base class of dispatch modes, under which nothing is compiled. Otherwise torch would load its compiler at the
    first kernel, which takes a second, and objects alive at that moment would stay alive for good."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
