"""Records a real forward pass as rows, with the kernels that determine their costs.

record, record_module → Recorder (function by function) → Rows with Kernels → Trace
"""

import torch

from archscope.record.modules import ModuleContents, walk_modules
from archscope.record.recorder import OnMismatch, Recorder
from archscope.record.run import DIFFERENTIATES_NOTE, NEEDS_GRADIENTS_NOTE, Recording, record, record_module
from archscope.record.torch_functions import is_torch_name, is_visible, qualified_name, short_name
from archscope.tested_versions import warn_untested

__all__ = [
    "DIFFERENTIATES_NOTE",
    "NEEDS_GRADIENTS_NOTE",
    "ModuleContents",
    "OnMismatch",
    "Recorder",
    "Recording",
    "is_torch_name",
    "is_visible",
    "qualified_name",
    "record",
    "record_module",
    "short_name",
    "walk_modules",
]

warn_untested(torch.__version__)  # once per process, when torch is first needed
