"""The record room: a real forward pass as rows, with the kernels that price them.

run → Recorder (function by function) → Rows with Kernels → Trace
"""

from archscope.record.modules import drive_module
from archscope.record.recorder import OnMismatch, Recorder, Recording, record

__all__ = ["OnMismatch", "Recorder", "Recording", "drive_module", "record"]
