"""JSON Schema (draft 2020-12) of the spec language, for editors; without torch.

    signatures.json (torch.nn's constructors) → long forms ┐
    tables of keys, forms and modifiers → steps, blocks    ├→ schema() → a dict
    expectations, inputs, imports                          ┘

Steps written as strings are plain text in the schema; `archscope check` reads those. The schema covers the structure:
keys, one subject per step, forms, expectations, and the long form's argument names with their defaults, required or
inferred.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from archscope.ops.dtypes import DTYPE_NAMES
from archscope.spec.parse import BLOCK_KEYS, FILE_KEYS, LANGUAGE_VERSION
from archscope.spec.parse_data import CHECK_KEYS, FORMS, MODIFIERS, PRESERVES, RESERVED

Schema = dict[str, Any]

_YAML_1_1_SWITCHES = ("yes", "no", "on", "off", "y", "n")
_SWITCH_WORDS = [word for switch in _YAML_1_1_SWITCHES for word in (switch, switch.capitalize(), switch.upper())]
_NAME_PATTERN = r"^[^\W\d_]\w*$"
_CAPITAL_PATTERN = r"^[A-Z]\w*$"
_LABELS_PATTERN = rf"^(?!({'|'.join(RESERVED)})$)[^A-Z0-9.:=+*/-][^.:=+*/-]*$"
_SIGNATURE_PATTERN = r"^[A-Z]\w*(\(.*\))?$"

KEY_DESCRIPTIONS: Mapping[str, str] = {
    "archscope": "Version of the language",
    "name": "The net's name (an identifier); default: the file's name",
    "note": "Free text",
    "input": "Shape of the one input, called x: [N, 3, 224, 224] or int64[N, seq]",
    "inputs": "Several inputs, name: shape",
    "params": "Numbers, words and blocks that can be set; --set name=value overrides them",
    "variants": "name: {param: value, …, expect: {…}}; each is a net of its own",
    "matrix": "param: [values]; the product of the lists, times the variants",
    "import": "source: [Block, …] or source: {Block: NewName}",
    "python": "Name: package.module:Class, only with --allow-python",
    "blocks": "Name(arg, arg=default): steps",
    "let": "Derived constants name: expr, and functions name(a, b): expr",
    "modules": "Layers declared once and called by name",
    "layers": "The steps, from the input to the result",
    "return": "An expression, a list or a mapping of them; default: the last step's value",
    "tie": "path.weight: other.path.weight",
    "expect": "Checks: shape, preserves, params, macs",
}
"""The description of each key of a file or a block."""

_MODIFIER_SCHEMAS: Mapping[str, tuple[str, Schema]] = {
    "when": ("The step is built only if this is true", {"$ref": "#/$defs/expression"}),
    "else": ("Steps that are built instead", {"anyOf": [{"$ref": "#/$defs/step"}, {"type": "null"}]}),
    "repeat": ("The number of copies in a chain, each with its own weights", {"$ref": "#/$defs/expression"}),
    "for": ("Name or names of each turn's value", {"$ref": "#/$defs/names"}),
    "in": ("The list or table that `for` runs over", {"type": ["array", "string"]}),
    "collect": ("Name of the list of every turn's output", {"type": "string", "pattern": _NAME_PATTERN}),
    "from": ("Start from this value instead of prev", {"$ref": "#/$defs/expression"}),
    "expect": ("Checks on this step", {"$ref": "#/$defs/expect"}),
    "dim": ("The dimension of concat (1) or stack (0)", {"$ref": "#/$defs/expression"}),
    "note": ("Text shown in reports", {"type": "string"}),
}
_FORM_SCHEMAS: Mapping[str, tuple[str, Schema]] = {
    "residual": ("f(prev) + prev, or main(prev) + shortcut(prev)", {"$ref": "#/$defs/residual"}),
    "concat": ("torch.cat of the branches' results", {"$ref": "#/$defs/branches"}),
    "add": ("The sum of the branches' results", {"$ref": "#/$defs/branches"}),
    "multiply": ("The product of the branches' results", {"$ref": "#/$defs/branches"}),
    "stack": ("torch.stack of the branches' results", {"$ref": "#/$defs/branches"}),
}


def schema() -> Schema:
    """Return the JSON Schema of a spec file."""
    layers = json.loads(files("archscope.spec").joinpath("signatures.json").read_text("utf-8"))["layers"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archscope network",
        **_mapping_schema({key: _with_description(KEY_DESCRIPTIONS[key], _file_key_schema(key)) for key in FILE_KEYS}),
        "anyOf": [{"required": ["layers"]}, {"required": ["blocks"]}],
        "$defs": {
            **_leaf_schemas(),
            **_step_schemas(tuple(layers)),
            **_subject_count_schemas(),
            **{f"layer.{name}": _layer_schema(layer) for name, layer in layers.items()},
        },
    }


def _with_description(text: str, body: Schema) -> Schema:
    return {"description": text, **body}


def _mapping_schema(properties: Schema, **more: object) -> Schema:
    """Return the schema of a mapping of these keys and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _table_schema(values: Schema, names: str = _NAME_PATTERN) -> Schema:
    """Return the schema of a mapping whose keys are the author's own names."""
    return {"type": "object", "propertyNames": {"pattern": names}, "additionalProperties": values}


def _file_key_schema(key: str) -> Schema:
    text: Schema = {"type": "string"}
    named = {"type": "string", "pattern": _CAPITAL_PATTERN}
    variant = {**_table_schema({}), "properties": {"expect": {"$ref": "#/$defs/expect"}}}
    bodies: Mapping[str, Schema] = {
        "archscope": {"const": LANGUAGE_VERSION},
        "name": {"type": "string", "pattern": _NAME_PATTERN},
        "note": text,
        "input": {"$ref": "#/$defs/input"},
        "inputs": _table_schema({"$ref": "#/$defs/input"}),
        "params": _table_schema({}),
        "variants": _table_schema(variant, r"^\w[\w.+-]*$"),
        "matrix": _table_schema({"type": "array", "minItems": 1}),
        "import": _table_schema(
            {"anyOf": [{"type": "array", "items": named, "minItems": 1}, _table_schema(named, _CAPITAL_PATTERN)]}, "."
        ),
        "python": _table_schema({"type": "string", "pattern": r"^[\w.]+:\w+$"}, _CAPITAL_PATTERN),
        "blocks": _table_schema({"anyOf": [{"$ref": "#/$defs/steps"}, {"$ref": "#/$defs/block"}]}, _SIGNATURE_PATTERN),
        "let": _table_schema({}, r"^[^\W\d_]\w*(\(.*\))?$"),
        "modules": _table_schema({"anyOf": [text, {"$ref": "#/$defs/step"}]}),
        "layers": {"$ref": "#/$defs/steps"},
        "return": {"type": ["string", "array", "object"]},
        "tie": _table_schema({"type": "string", "pattern": r"^\w+(\.\w+)+$"}, r"^\w+(\.\w+)+$"),
        "expect": {"$ref": "#/$defs/expect"},
    }
    return bodies[key]


def _leaf_schemas() -> Schema:
    """Return the schemas of expressions, shapes, inputs, expectations and blocks."""
    dims = {"type": "array", "items": {"type": ["string", "integer"]}}
    long_input = _mapping_schema(
        {
            "shape": dims,
            "dtype": {"enum": list(DTYPE_NAMES)},
            "low": {"$ref": "#/$defs/expression"},
            "high": {"$ref": "#/$defs/expression"},
        },
        required=["shape"],
    )
    bound = {"type": ["number", "string"], "pattern": r"^\s*[^<>\s]"}
    amount = {"anyOf": [bound, _mapping_schema({"min": bound, "max": bound}, minProperties=1)]}
    checks = {"shape": dims, "preserves": {"enum": list(PRESERVES)}, "params": amount, "macs": amount}
    shapeless = _table_schema({"type": "null"}), {"type": "array", "items": {"type": "string"}}
    block_inputs = {"anyOf": [_file_key_schema("inputs"), *shapeless]}
    keys = {key: block_inputs if key == "inputs" else _file_key_schema(key) for key in BLOCK_KEYS}
    name = {"type": "string", "pattern": _NAME_PATTERN}
    return {
        "expression": {"type": ["string", "number", "boolean"]},
        "names": {"anyOf": [name, {"type": "array", "items": name, "minItems": 1}]},
        "input": {"anyOf": [dims, {"type": "string", "pattern": r"^\w+\[.*\]$"}, long_input]},
        "expect": _mapping_schema({check: checks[check] for check in CHECK_KEYS}),
        "block": _mapping_schema(
            {key: _with_description(KEY_DESCRIPTIONS[key], value) for key, value in keys.items()}, required=["layers"]
        ),
    }


def _step_schemas(layers: tuple[str, ...]) -> Schema:
    """Return the schemas of steps, forms and what is allowed below a label."""
    step = {"$ref": "#/$defs/step"}
    branch = {"anyOf": [step, {"type": "null"}]}
    named = {**_table_schema(branch, _LABELS_PATTERN), "minProperties": 1}
    residual = _mapping_schema(
        {"main": step, "shortcut": branch, "when": {"$ref": "#/$defs/expression"}}, required=["main"]
    )
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
                **{
                    key: _with_description(doc, value)
                    for key, (doc, value) in (*_MODIFIER_SCHEMAS.items(), *_FORM_SCHEMAS.items())
                },
                "do": _with_description("The steps, where they need no name", step),
                **{name: {"$ref": f"#/$defs/layer.{name}"} for name in layers},
            },
            "patternProperties": {_CAPITAL_PATTERN: {}},
            "additionalProperties": step,
            "propertyNames": {
                "anyOf": [{"enum": [*MODIFIERS, *FORMS, "do"]}, {"pattern": f"{_CAPITAL_PATTERN}|{_LABELS_PATTERN}"}]
            },
            "dependentRequired": {"else": ["when"], "in": ["for"], "for": ["in"]},
            "dependentSchemas": {
                "collect": {"anyOf": [{"required": ["repeat"]}, {"required": ["for"]}]},
                "dim": {"anyOf": [{"required": ["concat"]}, {"required": ["stack"]}]},
            },
            "not": {"required": ["repeat", "for"]},
            "allOf": [{"$ref": "#/$defs/subject.0.0"}],
        },
    }


def _subject_count_schemas() -> Schema:
    """Return schemas that allow exactly one subject: one key more than there are modifiers.

    State i.n has checked i modifiers and found n of them.
    """
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


def _layer_schema(layer: Mapping[str, Any]) -> Schema:
    """Return the schema of a layer's arguments as YAML: one value, a list that may end in `key: value`, or
    a mapping.
    """
    properties = {argument["name"]: _argument_schema(argument) for argument in layer["arguments"]}
    required = [argument["name"] for argument in layer["arguments"] if argument.get("required")]
    return {
        "description": f"torch.nn.{layer['text']}",
        "if": {"type": "object"},
        "then": _mapping_schema(properties, required=required),
        "else": {
            "type": ["null", "string", "number", "boolean", "array"],
            "items": {"if": {"type": "object"}, "then": _mapping_schema(properties)},
        },
    }


def _argument_schema(argument: Mapping[str, Any]) -> Schema:
    text = "inferred from the input" if argument.get("inferred") else "required" if argument.get("required") else ""
    default = {"default": argument["default"]} if "default" in argument else {}
    yes_or_no = {"not": {"enum": _SWITCH_WORDS}} if isinstance(argument.get("default"), bool) else {}
    return {**({"description": text} if text else {}), **default, **yes_or_no}
