"""Spec files: text → nodes → Spec.

    file    := mapping: archscope name note input | inputs params variants matrix import python blocks let modules
               layers return tie expect                a library has blocks and no layers
    blocks  := { "Name(arg, arg=default)": steps | { input | inputs, let, modules, layers, return, expect, note } }
    let     := { name: value, "name(a, b)": expr }     modules := { name: EXPR | { Upper: … } }

Every independent problem of a file is collected: one function reads a section, and an error ends only its own entry.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable
from pathlib import PurePath

from archscope.errors import Problem, Problems, Span, did_you_mean
from archscope.spec.expression import quote_short
from archscope.spec.parse_data import (
    parse_capital_name,
    parse_checks,
    parse_data,
    parse_expression_node,
    parse_inputs,
    parse_label,
    parse_labelled_input,
    parse_name,
    parse_note,
    parse_signature,
)
from archscope.spec.parse_steps import parse_layer_call, parse_step_list
from archscope.spec.spec_types import (
    Argument,
    Block,
    Check,
    Data,
    DeclaredModule,
    Definition,
    Import,
    Input,
    Items,
    Label,
    PythonClass,
    Setting,
    Spec,
    Steps,
    Tie,
    Variant,
)
from archscope.spec.yaml_nodes import (
    B,
    MappingNode,
    Node,
    ParseError,
    ScalarNode,
    as_mapping,
    as_scalar,
    as_sequence,
    collect_all,
    collect_or_default,
    describe_node,
    is_null,
    known_entries,
)
from archscope.spec.yaml_reader import read_yaml

LANGUAGE_VERSION = 1
MAX_FILE_VARIANTS = 10_000
"""The largest number of nets that a file may have."""
FILE_KEYS = (
    *("archscope", "name", "note", "input", "inputs", "params", "variants", "matrix", "import", "python"),
    *("blocks", "let", "modules", "layers", "return", "tie", "expect"),
)
BLOCK_KEYS = ("input", "inputs", "let", "modules", "layers", "return", "expect", "note")
NET_ONLY_KEYS = ("input", "inputs", "variants", "matrix", "modules", "return", "tie", "expect")
PYTHON_CLASS_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
WEIGHT_PATH_PATTERN = re.compile(r"\w+(\.\w+)+")
VARIANT_PATTERN = re.compile(r"\w[\w.+-]*")


def parse_text(text: str, file: str = "<text>") -> Spec:
    """Return the spec in `text`; `file` is its name in messages. Raise SpecError with every problem found."""
    problems = Problems(sources={file: text})
    spec = parse(text, file, problems)
    problems.raise_if_any({file: text})
    assert spec is not None
    return spec


def parse(text: str, file: str, problems: Problems) -> Spec | None:
    """Return the spec in `text`, or None if it cannot be read. Add its problems to `problems`; with problems, the spec
    must not be used.
    """
    node = read_yaml(text, file, problems)
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        fix = "start with 'input: [N, 3, 224, 224]' and 'layers:'"
        problems.add(Problem(node.span, f"a spec is a mapping (key: value), not {describe_node(node)}", fix))
        return None
    return FileParser(node, file, problems).spec()


class SectionParser:
    """A mapping of the file with known keys: its entries by name. Reading an entry collects its problems."""

    def __init__(self, node: MappingNode, problems: Problems, keys: tuple[str, ...], where: str = ""):
        self.node, self.problems = node, problems
        self.found = known_entries(problems, node, keys, where)

    def read(self, key: str, default: B, work: Callable[[Node], B]) -> B:
        """Return `work` of the value of `key` if it is set, else `default`."""
        return collect_or_default(
            self.problems, default, lambda: work(self.found[key]) if key in self.found else default
        )

    def read_each(self, key: str, work: Callable[[tuple[ScalarNode, Node]], B]) -> tuple[B, ...]:
        """Return `work` of every entry of the mapping at `key`."""
        return self.read(key, (), lambda node: collect_all(self.problems, work, as_mapping(node, key).entries))

    def inputs(self, *, shapes: bool) -> tuple[Input, ...]:
        """Return the inputs from `input` (called x) or `inputs`; both at once are a problem."""
        if "input" in self.found and "inputs" in self.found:
            span = self.node.key("inputs").span
            self.problems.add(Problem(span, "both 'input' and 'inputs'", "write one: input: is the input called x"))
        if "input" in self.found:
            label = Label("x", self.node.key("input").span)
            return self.read("input", (), lambda node: (parse_labelled_input(label, node, shapes=True),))
        return self.read("inputs", (), lambda node: parse_inputs(self.problems, node, shapes=shapes))

    def let(self) -> tuple[Definition, ...]:
        return self.read_each("let", parse_definition)

    def modules(self) -> tuple[DeclaredModule, ...]:
        return self.read_each("modules", lambda entry: parse_module(self.problems, *entry))

    def layers(self) -> Steps:
        return self.read("layers", (), lambda node: parse_step_list(self.problems, node, "layers"))

    def returns(self) -> Data | None:
        return self.read("return", None, lambda node: parse_data(node, strict=True))

    def expect(self) -> tuple[Check, ...]:
        return self.read("expect", (), lambda node: parse_checks(self.problems, node))

    def note(self) -> str:
        return self.read("note", "", parse_note)


def parse_definition(entry: tuple[ScalarNode, Node]) -> Definition:
    """Return the definition in `name: value` or `name(a, b): expr`."""
    key, value = entry
    name, arguments = parse_signature(key, "a function")
    label = parse_name(name, "a constant")
    if is_null(value) and isinstance(value, ScalarNode) and not value.text:
        raise ParseError(key.span, f"let {label.name!r} has no value", "write 'name: expression'")
    return Definition(label.name, arguments, parse_data(value, strict=True), key.span)


def parse_module(problems: Problems, key: ScalarNode, value: Node) -> DeclaredModule:
    """Return the module declared by `name: MaxPool2d(2)` or `name: {MaxPool2d: {kernel_size: 2}}`."""
    name = parse_label(key, "a module").name
    if isinstance(value, MappingNode):
        if len(value.entries) != 1 or not value.entries[0][0].text[:1].isupper():
            raise ParseError(value.span, f"module {name!r} is one layer or block", "write 'name: MaxPool2d(2)'")
        return DeclaredModule(name, parse_layer_call(problems, *value.entries[0]), key.span)
    body = parse_expression_node(value)
    if not isinstance(body.tree, ast.Name | ast.Call):
        raise ParseError(
            body.span, f"module {name!r} is one layer or block, not {quote_short(body.text)}", "write a layer"
        )
    return DeclaredModule(name, body, key.span)


class FileParser:
    """The parser of one spec file."""

    def __init__(self, node: MappingNode, file: str, problems: Problems):
        self.file, self.problems = file, problems
        self.top = SectionParser(node, problems, FILE_KEYS)

    def spec(self) -> Spec:
        top = self.top
        top.read("archscope", None, check_version)
        params = self.settings("params")
        variants = top.read_each("variants", lambda entry: self.variant(params, *entry))
        spec = Spec(
            name=top.read(
                "name", default_name(self.file), lambda node: parse_name(as_scalar(node, "name"), "a net").name
            ),
            file=self.file,
            span=top.node.span,
            note=top.note(),
            inputs=top.inputs(shapes=True),
            params=params,
            variants=variants,
            matrix=self.matrix(params, variants),
            imports=top.read_each("import", lambda entry: self.imported(*entry)),
            python=top.read_each("python", parse_python_class),
            blocks=top.read_each("blocks", lambda entry: self.block(*entry)),
            let=top.let(),
            modules=top.modules(),
            layers=top.layers() if "layers" in top.found else None,
            returns=top.returns(),
            ties=top.read_each("tie", parse_tie),
            expect=top.expect(),
        )
        self.check_keys()
        self.check_duplicates("constant", named_spans(spec.params) + named_spans(spec.let))
        imported = [(name, original.span) for one in spec.imports for original, name in one.names]
        self.check_duplicates("block", imported + named_spans(spec.python) + named_spans(spec.blocks))
        return spec

    def check_keys(self) -> None:
        """Report a net without an input, and keys that a library of blocks cannot have."""
        found, node = self.top.found, self.top.node
        if "layers" in found:
            if "input" not in found and "inputs" not in found and not self.has_misspelt_key("input", "inputs"):
                fix = "add 'input: [N, 3, 224, 224]', the shape of the input; N is the batch size"
                self.problems.add(Problem(node.key("layers").span, "this net has layers and no input", fix))
        elif not self.has_misspelt_key("layers"):
            extra = next((key for key in NET_ONLY_KEYS if key in found), None)
            if "blocks" not in found:
                self.problems.add(Problem(node.span, "this file has neither layers nor blocks", "add 'layers:'"))
            elif extra:
                fix = "add 'layers:', or remove it: a library has blocks alone"
                self.problems.add(Problem(node.key(extra).span, f"{extra!r} in a file without layers", fix))

    def has_misspelt_key(self, *keys: str) -> bool:
        """Return whether an unknown key of the file is similar to one of `keys`: that has been reported already."""
        unknown = (key.text for key, _ in self.top.node.entries if key.text not in FILE_KEYS)
        return any(repr(key) in did_you_mean(word, FILE_KEYS) for word in unknown for key in keys)

    def check_duplicates(self, what: str, names: Iterable[tuple[str, Span]]) -> None:
        seen: dict[str, Span] = {}
        for name, span in names:
            first = seen.setdefault(name, span)
            if first is not span:
                text = f"{what} {name!r} is defined twice: lines {first.line} and {span.line}"
                self.problems.add(Problem(span, text, "rename one"))

    def settings(self, key: str) -> tuple[Setting, ...]:
        return self.top.read_each(key, parse_setting)

    def matrix(self, params: tuple[Setting, ...], variants: tuple[Variant, ...]) -> tuple[Setting, ...]:
        """Return the entries `param: [values]` of `matrix:`, all of declared params."""

        def read_one(entry: tuple[ScalarNode, Node]) -> Setting:
            key, value = entry
            self.check_param(key, params, "matrix")
            items = parse_data(as_sequence(value, f"matrix {key.text!r}", "write [1, 2, 3]"))
            if isinstance(items, Items) and not items.items:
                raise ParseError(value.span, f"matrix {key.text!r} has no values", "write [1, 2, 3]")
            return Setting(key.text, items, key.span)

        found = self.top.read_each("matrix", read_one)
        count = math.prod(len(s.value.items) for s in found if isinstance(s.value, Items))
        count *= max(len(variants), 1)
        if count > MAX_FILE_VARIANTS:
            fact = f"the matrix makes {count:,} nets; at most {MAX_FILE_VARIANTS:,} are allowed"
            self.problems.add(Problem(found[0].span, fact, "fewer values, or fewer params in the matrix"))
            return ()
        return found

    def variant(self, params: tuple[Setting, ...], key: ScalarNode, value: Node) -> Variant:
        """Return the variant in `name: {param: value, …, expect: {…}}`."""
        if not VARIANT_PATTERN.fullmatch(key.text):
            raise ParseError(
                key.span, f"{quote_short(key.text)} cannot name a variant", "use letters, digits, '_', '.' and '-'"
            )
        entries = as_mapping(value, f"variant {key.text!r}").entries

        def read_one(entry: tuple[ScalarNode, Node]) -> Setting:
            self.check_param(entry[0], params, f"variant {key.text!r}")
            return parse_setting(entry)

        settings = collect_all(self.problems, read_one, [entry for entry in entries if entry[0].text != "expect"])
        checks = [node for name, node in entries if name.text == "expect"]
        nothing: tuple[Check, ...] = ()
        found = collect_or_default(
            self.problems, nothing, lambda: parse_checks(self.problems, checks[0]) if checks else ()
        )
        return Variant(key.text, settings, found, key.span)

    def check_param(self, key: ScalarNode, params: tuple[Setting, ...], where: str) -> None:
        names = [param.name for param in params]
        if key.text not in names:
            fix = did_you_mean(key.text, [*names, "expect"]) or "declare it in params:, with its default"
            raise ParseError(key.span, f"{where} sets {key.text!r}, which is not a param of this file", fix)

    def imported(self, key: ScalarNode, value: Node) -> Import:
        """Return the import in `source: [Block, …]` or `source: {Block: NewName}`."""
        if isinstance(value, MappingNode):
            return Import(key.text, collect_all(self.problems, parse_renamed_import, value.entries), key.span)
        fix = f"write '{key.text}: [Block]', or {{Block: NewName}} to rename"
        items = as_sequence(value, f"the import from {key.text!r}", fix).items
        if not items:
            raise ParseError(key.span, f"nothing is imported from {key.text!r}", "name its blocks: [Block]")
        names = collect_all(
            self.problems, lambda item: parse_imported_name(as_scalar(item, "an imported block")), items
        )
        return Import(key.text, names, key.span)

    def block(self, key: ScalarNode, value: Node) -> Block:
        """Return a block, written as a signature with steps or in the long form."""
        unread: tuple[str, tuple[Argument, ...]] = (key.text, ())
        name, arguments = collect_or_default(self.problems, unread, lambda: parse_block_header(key))
        if is_null(value):
            raise ParseError(key.span, f"block {name!r} has no steps", "list its steps below it")
        if not isinstance(value, MappingNode):
            fix = "a block is a list of steps ('- ReLU'), or a mapping with layers:"
            node = as_sequence(value, f"block {name!r}", fix)
            return Block(name, arguments, parse_step_list(self.problems, node, name), key.span)
        body = SectionParser(value, self.problems, BLOCK_KEYS, f"block {name!r}")
        if "layers" not in body.found:
            self.problems.add(Problem(key.span, f"block {name!r} has no layers", "add 'layers:' with its steps"))
        return Block(
            name,
            arguments,
            body.layers(),
            key.span,
            body.inputs(shapes=False) if "input" in body.found or "inputs" in body.found else None,
            body.let(),
            body.modules(),
            body.returns(),
            body.expect(),
            body.note(),
        )


def parse_block_header(key: ScalarNode) -> tuple[str, tuple[Argument, ...]]:
    """Return a block's name and arguments."""
    text, arguments = parse_signature(key, "a block")
    return parse_capital_name(text, "a block").name, arguments or ()


def named_spans(entries: Iterable[Setting | Definition | PythonClass | Block]) -> list[tuple[str, Span]]:
    return [(one.name, one.span) for one in entries]


def parse_setting(entry: tuple[ScalarNode, Node]) -> Setting:
    return Setting(parse_name(entry[0], "a param").name, parse_data(entry[1]), entry[0].span)


def parse_imported_name(text: ScalarNode) -> tuple[Label, str]:
    label = parse_capital_name(text, "an imported block")
    return label, label.name


def parse_renamed_import(entry: tuple[ScalarNode, Node]) -> tuple[Label, str]:
    there = parse_name(entry[0], "an imported block")
    return there, parse_capital_name(as_scalar(entry[1], "the new name"), "an imported block").name


def parse_python_class(entry: tuple[ScalarNode, Node]) -> PythonClass:
    key, value = entry
    name, target = parse_capital_name(key, "a Python class").name, as_scalar(value, "a Python class")
    if not PYTHON_CLASS_PATTERN.fullmatch(target.text):
        raise ParseError(target.span, f"{quote_short(target.text)} is not a Python class", "write package.module:Class")
    return PythonClass(name, target.text, key.span)


def parse_tie(entry: tuple[ScalarNode, Node]) -> Tie:
    key, value = entry
    for text in (key, as_scalar(value, "a tied weight")):
        if not WEIGHT_PATH_PATTERN.fullmatch(text.text):
            raise ParseError(
                text.span, f"{quote_short(text.text)} is not a weight's path", "write lm_head.weight: wte.weight"
            )
    return Tie(key.text, as_scalar(value, "a tied weight").text, key.span)


def check_version(node: Node) -> None:
    version = as_scalar(node, "archscope")
    if version.value != LANGUAGE_VERSION or isinstance(version.value, bool):
        text = f"this file is for version {version.text or '(nothing)'} of the language"
        raise ParseError(
            version.span,
            f"{text}; this archscope reads version {LANGUAGE_VERSION}",
            f"write 'archscope: {LANGUAGE_VERSION}'",
        )


def default_name(file: str) -> str:
    """Return the file's name as an identifier."""
    stem = re.sub(r"\W", "_", PurePath(file).stem).lstrip("_") or "net"
    return stem if stem.isidentifier() else f"net_{stem}"
