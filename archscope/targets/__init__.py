"""What an analysis runs on: a device, a dtype, example inputs, and modules that Python code gives.

"auto" → "cuda"            (name, shape, dtype) → tensor            "net.py:Net", a live module → Subject

devices    devices, dtypes, memory, seeds
inputs     what a user says of inputs → trees of tensors
calls      a module's forward: whether arguments fit it, and their names
python     `net.py:Net`, `package.module:factory` → nn.Module
subjects   a target or live module → Subject: unwrapped, with its lazy layers made
ignored    arguments that the author's classes accept and never read
"""

from archscope.targets.calls import check_fit, cure_of, named_inputs
from archscope.targets.devices import device_of, dtype_of, free_bytes, refuse_too_big, seeded
from archscope.targets.ignored import ignored_arguments
from archscope.targets.inputs import Door, example, inputs_of, without_history
from archscope.targets.python import module_of, surroundings
from archscope.targets.subjects import Subject, initialised, placed, subject

__all__ = [
    "Door",
    "Subject",
    "check_fit",
    "cure_of",
    "device_of",
    "dtype_of",
    "example",
    "free_bytes",
    "ignored_arguments",
    "initialised",
    "inputs_of",
    "module_of",
    "named_inputs",
    "placed",
    "refuse_too_big",
    "seeded",
    "subject",
    "surroundings",
    "without_history",
]
