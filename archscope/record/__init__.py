"""The record room: a real forward pass as rows, with the kernels that price them.

run → Recorder (function by function) → Rows with Kernels → Trace
"""

from archscope.record.modules import drive_module
from archscope.record.recorder import Recorder, Recording, record

__all__ = ["Recorder", "Recording", "drive_module", "record"]
