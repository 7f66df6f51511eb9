"""What was asked for: YAML text → Spec, frozen data with the place of every part. No torch; no name has a meaning yet.

    load(path) → Library: the file and everything it imports
      reader      bytes → text → YAML events → nodes (capped, YAML 1.2, no duplicate keys); `syntax`: YAML's errors
      nodes       Scalar, Sequence, Mapping; `Misread`, one problem on its way to whoever collects
      expression  text → Expression: Python's grammar, cut down; `brackets` finds what is open
      data        leaves: values, names, inputs, signatures, expectations
      steps       lists of steps, modifiers, forms, labels
      parse       sections of a file → Spec
      load        imports, sandboxed
      packaged    the networks that come with the package; folders, a folder for its specs
      variants    the nets of one file; catalog, what there is to choose from
    dump.dump(spec) → YAML such that parse_text(dump(spec)) == spec
    model holds the nouns, evaluate gives expressions their values, schema describes the language to editors.

All problems of all files are collected and raised once, as `archscope.errors.SpecError`.
"""

from archscope.spec.load import load, standard_names
from archscope.spec.model import Library, Spec
from archscope.spec.parse import parse_text

__all__ = ["Library", "Spec", "load", "parse_text", "standard_names"]
