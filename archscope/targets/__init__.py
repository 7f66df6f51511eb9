"""The targets of an analysis: devices, dtypes, example inputs, and modules defined by Python code.

"auto" → "cuda"            (name, shape, dtype) → tensor            "net.py:Net", a live module → TargetModule

device_options         devices, dtypes, memory, seeds
inputs                 inputs as users give them → trees of tensors
unbatched_inputs       an input that was given without its batch
forward_calls          a module's forward: whether arguments fit it, and their names
python_targets         `net.py:Net`, `package.module:factory` → nn.Module
target_module          a target or live module → TargetModule: unwrapped, with its lazy layers initialized
target_rebuilder       a target made again with an edited source, and the calls that make each of its modules
user_code_limits       limits of time and memory for the author's code
constructor_calls      a layer → the call in its author's source that makes it; constructor_expressions, assignments
layer_arguments        the arguments of torch's own layers; source_files: Python files as they were compiled
source_edits           an edit of the author's source; layer_edits, forward_edits: edits of constructors and of forwards
substitution           a copy of a model with other layers, which shares everything else
meta_copy              a copy of a module on the meta device, and the arguments of a call at other sizes
construction_errors    an exception of a constructor → a UsageError
construction_steps, value_origins, quoted_values   its path through constructors; where values came from; values as text
required_sizes         sizes that a condition in the author's code requires
refused_arguments      why a constructor of torch failed; user_code_errors: what is wrong in the author's own code
ignored_arguments      arguments that the author's classes accept and never read
"""

from archscope.targets.constructor_calls import ConstructorCall, ConstructorFinder, find_constructor_call
from archscope.targets.device_options import (
    check_free_memory,
    free_bytes,
    opened,
    resolve_device,
    resolve_dtype,
    seeded,
)
from archscope.targets.forward_calls import (
    check_call_arguments,
    forward_error_help,
    named_inputs,
    needs_inputs,
    no_input_note,
)
from archscope.targets.ignored_arguments import find_ignored_arguments
from archscope.targets.inputs import (
    InputPlacement,
    add_batch_axis,
    detach_computed,
    example_tensor,
    has_given_value,
    make_inputs,
)
from archscope.targets.layer_arguments import argument_names, is_torch_layer, present_arguments
from archscope.targets.meta_copy import ResizeError, copy_to_meta, resize_inputs
from archscope.targets.python_targets import load_module, target_import_path
from archscope.targets.required_sizes import find_required_sizes
from archscope.targets.substitution import ReplacementError, Substitution, with_layer, with_layers
from archscope.targets.target_module import (
    TargetModule,
    initialize_lazy,
    is_factory,
    move_inputs,
    resolve_target,
    with_input_devices,
)
from archscope.targets.target_rebuilder import SourceCall, TargetRebuilder
from archscope.targets.unbatched_inputs import batch_note, find_missing_batch

__all__ = [
    "ConstructorCall",
    "ConstructorFinder",
    "InputPlacement",
    "ReplacementError",
    "ResizeError",
    "SourceCall",
    "Substitution",
    "TargetModule",
    "TargetRebuilder",
    "add_batch_axis",
    "argument_names",
    "batch_note",
    "check_call_arguments",
    "check_free_memory",
    "copy_to_meta",
    "detach_computed",
    "example_tensor",
    "find_constructor_call",
    "find_ignored_arguments",
    "find_missing_batch",
    "find_required_sizes",
    "forward_error_help",
    "free_bytes",
    "has_given_value",
    "initialize_lazy",
    "is_factory",
    "is_torch_layer",
    "load_module",
    "make_inputs",
    "move_inputs",
    "named_inputs",
    "needs_inputs",
    "no_input_note",
    "opened",
    "present_arguments",
    "resize_inputs",
    "resolve_device",
    "resolve_dtype",
    "resolve_target",
    "seeded",
    "target_import_path",
    "with_input_devices",
    "with_layer",
    "with_layers",
]
