"""The language for editors: JSON Schema (draft 2020-12), without torch.

    signatures.json (torch.nn's constructors) → long forms ┐
    tables of keys, forms and modifiers → steps, blocks    ├→ schema() → a dict
    expectations, inputs, imports                          ┘

Step strings are text to a schema: `archscope check` reads those. What it holds is the structure: keys, one subject per
step, forms, expectations, and the long form's argument names with their defaults, and what is required or inferred.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from archscope.spec.data import CHECKS, DTYPES, FORMS, MODIFIERS, PRESERVES, RESERVED
from archscope.spec.parse import BLOCK_KEYS, FILE_KEYS, VERSION

Schema = dict[str, Any]

_SWITCHES = ("yes", "no", "on", "off", "y", "n")
_WORDS_NOT_MEANT = [word for switch in _SWITCHES for word in (switch, switch.capitalize(), switch.upper())]
_NAME = r"^[^\W\d_]\w*$"
_CAPITAL = r"^[A-Z]\w*$"
_LABELS = rf"^(?!({'|'.join(RESERVED)})$)[^A-Z0-9.:=+*/-][^.:=+*/-]*$"
_SIGNATURE = r"^[A-Z]\w*(\(.*\))?$"

KEYS: Mapping[str, str] = {
    "archscope": "Version of the language",
    "name": "The net's name (an identifier); default: the file's name",
    "note": "Free text",
    "input": "Shape of the one input, called x: [N, 3, 224, 224] or int64[N, seq]",
    "inputs": "Several inputs, name: shape",
    "params": "The numbers, words and blocks the file is about; --set name=value overrides them",
    "variants": "name: {param: value, …, expect: {…}}; each is a net of its own",
    "matrix": "param: [values]; the product of the lists, times the variants",
    "import": "source: [Block, …] or source: {Block: NewName}",
    "python": "Name: package.module:Class, only with --allow-python",
    "blocks": "Name(arg, arg=default): steps",
    "let": "Derived constants name: expr, and little functions name(a, b): expr",
    "modules": "Layers declared once and called by name",
    "layers": "The steps, from the input to the result",
    "return": "An expression, a list or a mapping of them; default: the last step's value",
    "tie": "path.weight: other.path.weight",
    "expect": "Checks: shape, preserves, params, macs",
}
"""What each key of a file (and of a block) is about."""

_MODIFIERS: Mapping[str, tuple[str, Schema]] = {
    "when": ("The step is built only if this is true", {"$ref": "#/$defs/expression"}),
    "else": ("Steps that are built instead", {"anyOf": [{"$ref": "#/$defs/step"}, {"type": "null"}]}),
    "repeat": ("So many copies in a chain, each with its own weights", {"$ref": "#/$defs/expression"}),
    "for": ("Name or names of each turn's value", {"$ref": "#/$defs/names"}),
    "in": ("The list or table that `for` runs over", {"type": ["array", "string"]}),
    "collect": ("Name of the list of every turn's output", {"type": "string", "pattern": _NAME}),
    "from": ("Start from this value instead of prev", {"$ref": "#/$defs/expression"}),
    "expect": ("Checks on this step", {"$ref": "#/$defs/expect"}),
    "dim": ("The dimension of concat (1) or stack (0)", {"$ref": "#/$defs/expression"}),
    "note": ("Text shown in reports", {"type": "string"}),
}
_FORMS: Mapping[str, tuple[str, Schema]] = {
    "residual": ("f(prev) + prev, or main(prev) + shortcut(prev)", {"$ref": "#/$defs/residual"}),
    "concat": ("torch.cat of the branches' results", {"$ref": "#/$defs/branches"}),
    "add": ("The sum of the branches' results", {"$ref": "#/$defs/branches"}),
    "multiply": ("The product of the branches' results", {"$ref": "#/$defs/branches"}),
    "stack": ("torch.stack of the branches' results", {"$ref": "#/$defs/branches"}),
}


def schema() -> Schema:
    """JSON Schema of a spec file."""
    layers = json.loads(files("archscope.spec").joinpath("signatures.json").read_text("utf-8"))["layers"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archscope network",
        **_mapping({key: _described(KEYS[key], _file_key(key)) for key in FILE_KEYS}),
        "anyOf": [{"required": ["layers"]}, {"required": ["blocks"]}],
        "$defs": {
            **_leaves(),
            **_steps(tuple(layers)),
            **_counting(),
            **{f"layer.{name}": _long_form(layer) for name, layer in layers.items()},
        },
    }


def _described(text: str, body: Schema) -> Schema:
    return {"description": text, **body}


def _mapping(properties: Schema, **more: object) -> Schema:
    """A mapping of these keys and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _table(values: Schema, names: str = _NAME) -> Schema:
    """A mapping of the author's own names."""
    return {"type": "object", "propertyNames": {"pattern": names}, "additionalProperties": values}


def _file_key(key: str) -> Schema:
    text: Schema = {"type": "string"}
    named = {"type": "string", "pattern": _CAPITAL}
    variant = {**_table({}), "properties": {"expect": {"$ref": "#/$defs/expect"}}}
    bodies: Mapping[str, Schema] = {
        "archscope": {"const": VERSION},
        "name": {"type": "string", "pattern": _NAME},
        "note": text,
        "input": {"$ref": "#/$defs/input"},
        "inputs": _table({"$ref": "#/$defs/input"}),
        "params": _table({}),
        "variants": _table(variant, r"^\w[\w.+-]*$"),
        "matrix": _table({"type": "array", "minItems": 1}),
        "import": _table({"anyOf": [{"type": "array", "items": named, "minItems": 1}, _table(named, _CAPITAL)]}, "."),
        "python": _table({"type": "string", "pattern": r"^[\w.]+:\w+$"}, _CAPITAL),
        "blocks": _table({"anyOf": [{"$ref": "#/$defs/steps"}, {"$ref": "#/$defs/block"}]}, _SIGNATURE),
        "let": _table({}, r"^[^\W\d_]\w*(\(.*\))?$"),
        "modules": _table({"anyOf": [text, {"$ref": "#/$defs/step"}]}),
        "layers": {"$ref": "#/$defs/steps"},
        "return": {"type": ["string", "array", "object"]},
        "tie": _table({"type": "string", "pattern": r"^\w+(\.\w+)+$"}, r"^\w+(\.\w+)+$"),
        "expect": {"$ref": "#/$defs/expect"},
    }
    return bodies[key]


def _leaves() -> Schema:
    """Expressions, shapes, inputs, expectations, blocks."""
    dims = {"type": "array", "items": {"type": ["string", "integer"]}}
    long_input = _mapping(
        {
            "shape": dims,
            "dtype": {"enum": list(DTYPES)},
            "low": {"$ref": "#/$defs/expression"},
            "high": {"$ref": "#/$defs/expression"},
        },
        required=["shape"],
    )
    bound = {"type": ["number", "string"], "pattern": r"^\s*[^<>\s]"}
    amount = {"anyOf": [bound, _mapping({"min": bound, "max": bound}, minProperties=1)]}
    checks = {"shape": dims, "preserves": {"enum": list(PRESERVES)}, "params": amount, "macs": amount}
    shapeless = _table({"type": "null"}), {"type": "array", "items": {"type": "string"}}
    block_inputs = {"anyOf": [_file_key("inputs"), *shapeless]}
    keys = {key: block_inputs if key == "inputs" else _file_key(key) for key in BLOCK_KEYS}
    name = {"type": "string", "pattern": _NAME}
    return {
        "expression": {"type": ["string", "number", "boolean"]},
        "names": {"anyOf": [name, {"type": "array", "items": name, "minItems": 1}]},
        "input": {"anyOf": [dims, {"type": "string", "pattern": r"^\w+\[.*\]$"}, long_input]},
        "expect": _mapping({check: checks[check] for check in CHECKS}),
        "block": _mapping({key: _described(KEYS[key], value) for key, value in keys.items()}, required=["layers"]),
    }


def _steps(layers: tuple[str, ...]) -> Schema:
    """Steps, forms and what stands below a label."""
    step = {"$ref": "#/$defs/step"}
    branch = {"anyOf": [step, {"type": "null"}]}
    named = {**_table(branch, _LABELS), "minProperties": 1}
    residual = _mapping({"main": step, "shortcut": branch, "when": {"$ref": "#/$defs/expression"}}, required=["main"])
    return {
        "steps": {"type": "array", "items": step},
        "step": {
            "type": ["string", "array", "object"],
            "minLength": 1,
            "items": step,
            "if": {"type": "object"},
            "then": {"$ref": "#/$defs/mapped"},
        },
        "residual": {"if": {"type": "object"}, "then": residual, "else": step},
        "branches": {"anyOf": [{"type": "array", "items": step, "minItems": 1}, named]},
        "mapped": {
            "type": "object",
            "properties": {
                **{key: _described(doc, value) for key, (doc, value) in (*_MODIFIERS.items(), *_FORMS.items())},
                "do": _described("The steps, where they need no name", step),
                **{name: {"$ref": f"#/$defs/layer.{name}"} for name in layers},
            },
            "patternProperties": {_CAPITAL: {}},
            "additionalProperties": step,
            "propertyNames": {"anyOf": [{"enum": [*MODIFIERS, *FORMS, "do"]}, {"pattern": f"{_CAPITAL}|{_LABELS}"}]},
            "dependentRequired": {"else": ["when"], "in": ["for"], "for": ["in"]},
            "dependentSchemas": {
                "collect": {"anyOf": [{"required": ["repeat"]}, {"required": ["for"]}]},
                "dim": {"anyOf": [{"required": ["concat"]}, {"required": ["stack"]}]},
            },
            "not": {"required": ["repeat", "for"]},
            "allOf": [{"$ref": "#/$defs/subject.0.0"}],
        },
    }


def _counting() -> Schema:
    """Exactly one subject: one key more than there are modifiers. State i.n has looked at i modifiers and met n."""
    last = len(MODIFIERS)
    states: Schema = {
        f"subject.{last}.{met}": {"minProperties": met + 1, "maxProperties": met + 1} for met in range(last + 1)
    }
    for place, modifier in enumerate(MODIFIERS):
        for met in range(place + 1):
            states[f"subject.{place}.{met}"] = {
                "if": {"required": [modifier]},
                "then": {"$ref": f"#/$defs/subject.{place + 1}.{met + 1}"},
                "else": {"$ref": f"#/$defs/subject.{place + 1}.{met}"},
            }
    return states


def _long_form(layer: Mapping[str, Any]) -> Schema:
    """A layer's arguments as YAML: one value, a list that may end in `key: value`, or a mapping."""
    properties = {argument["name"]: _argument(argument) for argument in layer["arguments"]}
    required = [argument["name"] for argument in layer["arguments"] if argument.get("required")]
    return {
        "description": f"torch.nn.{layer['text']}",
        "if": {"type": "object"},
        "then": _mapping(properties, required=required),
        "else": {
            "type": ["null", "string", "number", "boolean", "array"],
            "items": {"if": {"type": "object"}, "then": _mapping(properties)},
        },
    }


def _argument(argument: Mapping[str, Any]) -> Schema:
    text = "inferred from the input" if argument.get("inferred") else "required" if argument.get("required") else ""
    default = {"default": argument["default"]} if "default" in argument else {}
    yes_or_no = {"not": {"enum": _WORDS_NOT_MEANT}} if isinstance(argument.get("default"), bool) else {}
    return {**({"description": text} if text else {}), **default, **yes_or_no}
