"""Files: text → nodes → Spec.

    file    := mapping: archscope name note input | inputs params variants matrix import python blocks let modules
               layers return tie expect                a library has blocks and no layers
    blocks  := { "Name(arg, arg=default)": steps | { input | inputs, let, modules, layers, return, expect, note } }
    let     := { name: value, "name(a, b)": expr }     modules := { name: EXPR | { Upper: … } }

Every independent problem of a file is collected; one function reads a section, and a fault ends only its own entry.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable
from pathlib import PurePath

from archscope.errors import Problem, Problems, Span, did_you_mean
from archscope.spec.data import (
    capital_of,
    checks_of,
    data_of,
    expression_of,
    inputs_of,
    label_of,
    name_of,
    note_of,
    shaped,
    signature,
)
from archscope.spec.expression import short
from archscope.spec.model import (
    Argument,
    Block,
    Check,
    Data,
    Declared,
    Definition,
    Foreign,
    Import,
    Input,
    Items,
    Label,
    Setting,
    Spec,
    Steps,
    Tie,
    Variant,
)
from archscope.spec.nodes import (
    B,
    Mapping,
    Misread,
    Node,
    Scalar,
    attempt,
    describe,
    gather,
    is_null,
    known,
    mapping,
    scalar,
    sequence,
)
from archscope.spec.reader import read
from archscope.spec.steps import layer_call, listed

VERSION = 1
MOST_VARIANTS = 10_000
"""How many nets a file may have."""
FILE_KEYS = (
    *("archscope", "name", "note", "input", "inputs", "params", "variants", "matrix", "import", "python"),
    *("blocks", "let", "modules", "layers", "return", "tie", "expect"),
)
BLOCK_KEYS = ("input", "inputs", "let", "modules", "layers", "return", "expect", "note")
NET_ONLY = ("input", "inputs", "variants", "matrix", "modules", "return", "tie", "expect")
TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
PATH = re.compile(r"\w+(\.\w+)+")
VARIANT = re.compile(r"\w[\w.+-]*")


def parse_text(text: str, file: str = "<text>") -> Spec:
    """The spec in `text`; `file` names it in messages. Raises SpecError with every problem found."""
    problems = Problems(sources={file: text})
    spec = parse(text, file, problems)
    problems.raise_if_any({file: text})
    assert spec is not None
    return spec


def parse(text: str, file: str, problems: Problems) -> Spec | None:
    """The spec in `text`, or None; what is wrong with it goes to `problems`. The spec counts only if nothing does."""
    node = read(text, file, problems)
    if node is None:
        return None
    if not isinstance(node, Mapping):
        cure = "start with 'input: [N, 3, 224, 224]' and 'layers:'"
        problems.add(Problem(node.span, f"a spec is a mapping (key: value), not {describe(node)}", cure))
        return None
    return File(node, file, problems).spec()


class Section:
    """A mapping of the file with known keys: its entries, by name, each read with its faults collected."""

    def __init__(self, node: Mapping, problems: Problems, keys: tuple[str, ...], where: str = ""):
        self.node, self.problems = node, problems
        self.found = known(problems, node, keys, where)

    def one(self, key: str, default: B, work: Callable[[Node], B]) -> B:
        """`work` on the value of `key`, where it is set."""
        return attempt(self.problems, default, lambda: work(self.found[key]) if key in self.found else default)

    def each(self, key: str, work: Callable[[tuple[Scalar, Node]], B]) -> tuple[B, ...]:
        """`work` on every entry of the mapping at `key`."""
        return self.one(key, (), lambda node: gather(self.problems, work, mapping(node, key).entries))

    def inputs(self, *, shapes: bool) -> tuple[Input, ...]:
        """`input` (called x) or `inputs`, not both."""
        if "input" in self.found and "inputs" in self.found:
            span = self.node.key("inputs").span
            self.problems.add(Problem(span, "both 'input' and 'inputs'", "write one: input: is the input called x"))
        if "input" in self.found:
            label = Label("x", self.node.key("input").span)
            return self.one("input", (), lambda node: (shaped(label, node, shapes=True),))
        return self.one("inputs", (), lambda node: inputs_of(self.problems, node, shapes=shapes))

    def let(self) -> tuple[Definition, ...]:
        return self.each("let", definition)

    def modules(self) -> tuple[Declared, ...]:
        return self.each("modules", lambda entry: declared(self.problems, *entry))

    def layers(self) -> Steps:
        return self.one("layers", (), lambda node: listed(self.problems, node, "layers"))

    def returns(self) -> Data | None:
        return self.one("return", None, lambda node: data_of(node, strict=True))

    def expect(self) -> tuple[Check, ...]:
        return self.one("expect", (), lambda node: checks_of(self.problems, node))

    def note(self) -> str:
        return self.one("note", "", note_of)


def definition(entry: tuple[Scalar, Node]) -> Definition:
    """`name: value`, or `name(a, b): expr`."""
    key, value = entry
    name, arguments = signature(key, "a function")
    label = name_of(name, "a constant")
    if is_null(value) and isinstance(value, Scalar) and not value.text:
        raise Misread(key.span, f"let {label.name!r} has no value", "write 'name: expression'")
    return Definition(label.name, arguments, data_of(value, strict=True), key.span)


def declared(problems: Problems, key: Scalar, value: Node) -> Declared:
    """`name: MaxPool2d(2)` or `name: {MaxPool2d: {kernel_size: 2}}`."""
    name = label_of(key, "a module").name
    if isinstance(value, Mapping):
        if len(value.entries) != 1 or not value.entries[0][0].text[:1].isupper():
            raise Misread(value.span, f"module {name!r} is one layer or block", "write 'name: MaxPool2d(2)'")
        return Declared(name, layer_call(problems, *value.entries[0]), key.span)
    body = expression_of(value)
    if not isinstance(body.tree, ast.Name | ast.Call):
        raise Misread(body.span, f"module {name!r} is one layer or block, not {short(body.text)}", "write a layer")
    return Declared(name, body, key.span)


class File:
    """One spec file being read."""

    def __init__(self, node: Mapping, file: str, problems: Problems):
        self.file, self.problems = file, problems
        self.top = Section(node, problems, FILE_KEYS)

    def spec(self) -> Spec:
        top = self.top
        top.one("archscope", None, check_version)
        params = self.settings("params")
        variants = top.each("variants", lambda entry: self.variant(params, *entry))
        spec = Spec(
            name=top.one("name", default_name(self.file), lambda node: spec_name(scalar(node, "name"))),
            file=self.file,
            span=top.node.span,
            note=top.note(),
            inputs=top.inputs(shapes=True),
            params=params,
            variants=variants,
            matrix=self.matrix(params, variants),
            imports=top.each("import", lambda entry: self.imported(*entry)),
            python=top.each("python", foreign),
            blocks=top.each("blocks", lambda entry: self.block(*entry)),
            let=top.let(),
            modules=top.modules(),
            layers=top.layers() if "layers" in top.found else None,
            returns=top.returns(),
            ties=top.each("tie", tie),
            expect=top.expect(),
        )
        self.check_keys()
        self.check_twice("constant", places(spec.params) + places(spec.let))
        self.check_twice("block", block_names(spec))
        return spec

    def check_keys(self) -> None:
        """A net needs an input; a library is blocks without layers."""
        found, node = self.top.found, self.top.node
        if "layers" in found:
            if "input" not in found and "inputs" not in found and not self.misspelt("input", "inputs"):
                cure = "add 'input: [N, 3, 224, 224]', the shape of the input; N is the batch size"
                self.problems.add(Problem(node.key("layers").span, "this net has layers and no input", cure))
        elif not self.misspelt("layers"):
            extra = next((key for key in NET_ONLY if key in found), None)
            if "blocks" not in found:
                self.problems.add(Problem(node.span, "this file has neither layers nor blocks", "add 'layers:'"))
            elif extra:
                cure = "add 'layers:', or remove it: a library has blocks alone"
                self.problems.add(Problem(node.key(extra).span, f"{extra!r} in a file without layers", cure))

    def misspelt(self, *keys: str) -> bool:
        """Whether an unknown key of the file is near to one of `keys`: that is reported already."""
        unknown = (key.text for key, _ in self.top.node.entries if key.text not in FILE_KEYS)
        return any(repr(key) in did_you_mean(word, FILE_KEYS) for word in unknown for key in keys)

    def check_twice(self, what: str, names: Iterable[tuple[str, Span]]) -> None:
        seen: dict[str, Span] = {}
        for name, span in names:
            first = seen.setdefault(name, span)
            if first is not span:
                text = f"{what} {name!r} is defined twice: lines {first.line} and {span.line}"
                self.problems.add(Problem(span, text, "rename one"))

    def settings(self, key: str) -> tuple[Setting, ...]:
        return self.top.each(key, setting)

    def matrix(self, params: tuple[Setting, ...], variants: tuple[Variant, ...]) -> tuple[Setting, ...]:
        """`param: [values]`, of declared params."""

        def read_one(entry: tuple[Scalar, Node]) -> Setting:
            key, value = entry
            self.check_param(key, params, "matrix")
            items = data_of(sequence(value, f"matrix {key.text!r}", "write [1, 2, 3]"))
            if isinstance(items, Items) and not items.items:
                raise Misread(value.span, f"matrix {key.text!r} has no values", "write [1, 2, 3]")
            return Setting(key.text, items, key.span)

        found = self.top.each("matrix", read_one)
        count = math.prod(len(s.value.items) for s in found if isinstance(s.value, Items))
        count *= max(len(variants), 1)
        if count > MOST_VARIANTS:
            fact = f"the matrix makes {count:,} nets; at most {MOST_VARIANTS:,} are allowed"
            self.problems.add(Problem(found[0].span, fact, "fewer values, or fewer params in the matrix"))
            return ()
        return found

    def variant(self, params: tuple[Setting, ...], key: Scalar, value: Node) -> Variant:
        """`name: {param: value, …, expect: {…}}`."""
        if not VARIANT.fullmatch(key.text):
            raise Misread(key.span, f"{short(key.text)} cannot name a variant", "use letters, digits, '_', '.' and '-'")
        entries = mapping(value, f"variant {key.text!r}").entries

        def read_one(entry: tuple[Scalar, Node]) -> Setting:
            self.check_param(entry[0], params, f"variant {key.text!r}")
            return setting(entry)

        settings = gather(self.problems, read_one, [entry for entry in entries if entry[0].text != "expect"])
        checks = [node for name, node in entries if name.text == "expect"]
        nothing: tuple[Check, ...] = ()
        found = attempt(self.problems, nothing, lambda: checks_of(self.problems, checks[0]) if checks else ())
        return Variant(key.text, settings, found, key.span)

    def check_param(self, key: Scalar, params: tuple[Setting, ...], where: str) -> None:
        names = [param.name for param in params]
        if key.text not in names:
            cure = did_you_mean(key.text, [*names, "expect"]) or "declare it in params:, with its default"
            raise Misread(key.span, f"{where} sets {key.text!r}, which is no param of this file", cure)

    def imported(self, key: Scalar, value: Node) -> Import:
        """`source: [Block, …]` or `source: {Block: NewName}`."""
        if isinstance(value, Mapping):
            return Import(key.text, gather(self.problems, renamed, value.entries), key.span)
        cure = f"write '{key.text}: [Block]', or {{Block: NewName}} to rename"
        items = sequence(value, f"the import from {key.text!r}", cure).items
        if not items:
            raise Misread(key.span, f"nothing is imported from {key.text!r}", "name its blocks: [Block]")
        names = gather(self.problems, lambda item: same(scalar(item, "an imported block")), items)
        return Import(key.text, names, key.span)

    def block(self, key: Scalar, value: Node) -> Block:
        """A signature and steps, or the long form."""
        unread: tuple[str, tuple[Argument, ...]] = (key.text, ())
        name, arguments = attempt(self.problems, unread, lambda: block_head(key))
        if is_null(value):
            raise Misread(key.span, f"block {name!r} has no steps", "list its steps below it")
        if not isinstance(value, Mapping):
            cure = "a block is a list of steps ('- ReLU'), or a mapping with layers:"
            node = sequence(value, f"block {name!r}", cure)
            return Block(name, arguments, listed(self.problems, node, name), key.span)
        body = Section(value, self.problems, BLOCK_KEYS, f"block {name!r}")
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


def block_head(key: Scalar) -> tuple[str, tuple[Argument, ...]]:
    """A block's name and arguments."""
    text, arguments = signature(key, "a block")
    return capital_of(text, "a block").name, arguments or ()


def block_names(spec: Spec) -> list[tuple[str, Span]]:
    """Every name in the file that a block, an import or a Python class defines."""
    brought = [(here, there.span) for one in spec.imports for there, here in one.names]
    return brought + places(spec.python) + places(spec.blocks)


def places(entries: Iterable[Setting | Definition | Foreign | Block]) -> list[tuple[str, Span]]:
    return [(one.name, one.span) for one in entries]


def setting(entry: tuple[Scalar, Node]) -> Setting:
    return Setting(name_of(entry[0], "a param").name, data_of(entry[1]), entry[0].span)


def same(text: Scalar) -> tuple[Label, str]:
    label = capital_of(text, "an imported block")
    return label, label.name


def renamed(entry: tuple[Scalar, Node]) -> tuple[Label, str]:
    there = name_of(entry[0], "an imported block")
    return there, capital_of(scalar(entry[1], "the new name"), "an imported block").name


def foreign(entry: tuple[Scalar, Node]) -> Foreign:
    key, value = entry
    name, target = capital_of(key, "a Python class").name, scalar(value, "a Python class")
    if not TARGET.fullmatch(target.text):
        raise Misread(target.span, f"{short(target.text)} is not a Python class", "write package.module:Class")
    return Foreign(name, target.text, key.span)


def tie(entry: tuple[Scalar, Node]) -> Tie:
    key, value = entry
    for text in (key, scalar(value, "a tied weight")):
        if not PATH.fullmatch(text.text):
            raise Misread(text.span, f"{short(text.text)} is not a weight's path", "write lm_head.weight: wte.weight")
    return Tie(key.text, scalar(value, "a tied weight").text, key.span)


def check_version(node: Node) -> None:
    version = scalar(node, "archscope")
    if version.value != VERSION or isinstance(version.value, bool):
        text = f"this file is for version {version.text or '(nothing)'} of the language"
        raise Misread(version.span, f"{text}; this archscope reads version {VERSION}", f"write 'archscope: {VERSION}'")


def spec_name(text: Scalar) -> str:
    return name_of(text, "a net").name


def default_name(file: str) -> str:
    """The file's name as an identifier."""
    stem = re.sub(r"\W", "_", PurePath(file).stem).lstrip("_") or "net"
    return stem if stem.isidentifier() else f"net_{stem}"
