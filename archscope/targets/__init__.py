"""What an analysis runs on: a device, a dtype, example inputs, and modules that Python code gives.

"auto" → "cuda"            (name, shape, dtype) → tensor            "net.py:Net", a live module → Subject

devices    devices, dtypes, memory, seeds
inputs     what a user says of inputs → trees of tensors
calls      a module's forward: whether arguments fit it, and their names
remaking   a target made again with another text, and where each of its modules is made
source_edits   an edit of the author's source
layer_edits   edits where a layer is made, that give it another argument
forward_edits   edits of a forward
constructors   where a layer is made: the call in its author's source
substitution   a copy of a model with other layers, which shares all else
twins     a module's twin on meta, and the arguments of a call at other sizes
python     `net.py:Net`, `package.module:factory` → nn.Module
construction_errors   an exception of a constructor → what to say of it
construction_frames, value_origins, shown_values   its way through constructors; where values came from; values, quoted
asked_sizes   sizes that a condition of the author's asks for
refused_arguments, authors_errors   why torch's constructor refused; what the author's own code got wrong
subjects   a target or live module → Subject: unwrapped, with its lazy layers made
unbatched  an input that was given without its batch
ignored    arguments that the author's classes accept and never read
"""

from archscope.targets.asked_sizes import asked_sizes
from archscope.targets.calls import check_fit, cure_of, named_inputs, needs_inputs, without_inputs
from archscope.targets.constructors import Constructor, Constructors, constructor_of
from archscope.targets.devices import device_of, dtype_of, free_bytes, opened, refuse_too_big, seeded
from archscope.targets.ignored import ignored_arguments
from archscope.targets.inputs import Door, example, in_one_batch, inputs_of, is_given, without_history
from archscope.targets.layer_arguments import arguments_of, is_torch_layer, names_of
from archscope.targets.python import module_of, surroundings
from archscope.targets.remaking import CallPlace, Remaking
from archscope.targets.subjects import Subject, among_inputs, initialised, is_maker, placed, subject
from archscope.targets.substitution import ReplacementError, Substitution, with_layer, with_layers
from archscope.targets.twins import ResizeError, on_meta, resized
from archscope.targets.unbatched import as_one_example, missing_batch

__all__ = [
    "CallPlace",
    "Constructor",
    "Constructors",
    "Door",
    "Remaking",
    "ReplacementError",
    "ResizeError",
    "Subject",
    "Substitution",
    "among_inputs",
    "arguments_of",
    "as_one_example",
    "asked_sizes",
    "check_fit",
    "constructor_of",
    "cure_of",
    "device_of",
    "dtype_of",
    "example",
    "free_bytes",
    "ignored_arguments",
    "in_one_batch",
    "initialised",
    "inputs_of",
    "is_given",
    "is_maker",
    "is_torch_layer",
    "missing_batch",
    "module_of",
    "named_inputs",
    "names_of",
    "needs_inputs",
    "on_meta",
    "opened",
    "placed",
    "refuse_too_big",
    "resized",
    "seeded",
    "subject",
    "surroundings",
    "with_layer",
    "with_layers",
    "without_history",
    "without_inputs",
]
