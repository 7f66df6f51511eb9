"""The record room: a real forward pass as rows, with the kernels that price them.

run → Recorder (function by function) → Rows with Kernels → Trace
"""

import torch

from archscope.record.functions import qualified as name_of_function
from archscope.record.functions import short as short_name
from archscope.record.modules import Holding, walk
from archscope.record.recorder import OnMismatch, Recorder
from archscope.record.run import DERIVES, NEEDS_GRADIENTS, Recording, record, record_module
from archscope.record.shown import is_shown, is_torchs
from archscope.record.state import resting
from archscope.tried import tell

__all__ = [
    "DERIVES",
    "NEEDS_GRADIENTS",
    "Holding",
    "OnMismatch",
    "Recorder",
    "Recording",
    "is_shown",
    "is_torchs",
    "name_of_function",
    "record",
    "record_module",
    "resting",
    "short_name",
    "walk",
]

tell(torch.__version__)  # once in a process, when torch is first needed
