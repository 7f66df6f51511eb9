"""The parsed form of a spec: YAML text → Spec, frozen dataclasses that keep the position of every part.

No torch, and names are not resolved yet.

  load(path) → Library: the file and everything that it imports
    yaml_reader     bytes → text → YAML events → nodes (size limits, YAML 1.2); yaml_errors: its errors
    yaml_nodes      ScalarNode, SequenceNode, MappingNode; `ParseError`, which carries one problem
    expression      text → Expression, a subset of Python's grammar; unclosed brackets
    parse_data      leaves: values, names, inputs, signatures, expectations
    parse_steps     lists of steps, modifiers, forms, labels
    parse           sections of a file → Spec
    load            imports, restricted to the spec's directory
    bundled_networks, folders   the networks that come with the package; a folder → the specs in it
    variants, catalog           the nets of one file; descriptions of them for lists
    target_names                `net.yaml:small` → file and variant; bounded_math: arithmetic with limits
  dump.dump(spec) → YAML such that parse_text(dump(spec)) == spec
  editable_spec   edits of a spec's text that keep comments and layout; text_diff: two texts compared
  tensor_calls    calls of tensor functions as written; argument_names: names of positional arguments
  name_usage      the names that expressions read; infallible_expressions: those that no size makes fail
  spec_types defines the dataclasses, evaluate computes the values of expressions (spec_values), schema is the JSON
  Schema that editors use, error_text puts exceptions of torch and Python into one line.

All problems of all files are collected and raised once, as `archscope.errors.SpecError`.
"""

from archscope.spec.load import load, standard_names
from archscope.spec.parse import parse_text
from archscope.spec.spec_types import Library, Spec

__all__ = ["Library", "Spec", "load", "parse_text", "standard_names"]
