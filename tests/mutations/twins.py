"""The networks of `specs/` in Python: their twins' source, one module for each, with places to break.

tests/networks/twins.py, a Network → the definitions that it needs + `def network()` → Origin → edits → Mutations
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archscope.errors import Span
from archscope.spec.spec_types import Argument, Expression
from tests.mutations.attention import attention_edits, mask_edits
from tests.mutations.corpus import ROOT, Origin
from tests.mutations.edit import KINDS, Edit, Kind, Sized
from tests.mutations.joins import operand_edits
from tests.mutations.kinds import added, argument_edits, dims, sources, views
from tests.mutations.mutation import Mutation, in_turn, mutated, shuffled
from tests.mutations.places import Found, Scope, Text
from tests.mutations.uses import use_edits

TWINS = ROOT / "tests/networks/twins.py"
OTHERS = ROOT / "tests/mutations/python_nets.py"
PLACED: tuple[Kind, ...] = (
    argument_edits,
    added,
    sources,
    dims,
    views,
    use_edits,
    operand_edits,
    attention_edits,
    mask_edits,
)
CALLED: Mapping[str, str] = {"a": "in_channels", "b": "out_channels", "features": "in_features"}
"""A function's argument → what `places.ROLES` calls it."""


@dataclass(frozen=True)
class Network:
    """One network of the twins' file. made: the expression that makes it. vocab: of one that reads tokens."""

    name: str
    made: str
    shape: tuple[int, ...]
    vocab: int = 0
    slow: bool = False
    file: Path = TWINS

    @property
    def input(self) -> Any:
        """As `archscope.check` takes it."""
        return ("int64", self.shape) if self.vocab else self.shape

    def origin(self) -> Origin:
        return Origin(f"python/{self.name}", source(self.made, self.file), "net.py", "net.py")


MNIST, PHOTO, IMAGE = (1, 1, 28, 28), (1, 3, 128, 128), (1, 3, 224, 224)
NETWORKS = (
    Network("mlp", "Mlp()", MNIST),
    Network("lenet", "LeNet()", MNIST),
    Network("cnn3", "Cnn3()", MNIST),
    Network("bottleneck_1x1", "conv5x5(16)", (1, 192, 28, 28)),
    Network("inception_block", "InceptionA(10)", (1, 10, 12, 12)),
    Network("inception_mnist", "inception_net()", MNIST),
    Network("residual_mnist", 'residual_mnist("conv")', MNIST),
    Network("basic_block", "TutorialBlock(3)", PHOTO),
    Network("basic_block_net", "basic_block_net(TutorialBlock(32))", PHOTO, slow=True),
    Network("residual_block", "basic_block(64, 128, 2)", (1, 64, 56, 56)),
    Network("resnet18", "resnet(basic_block, [2, 2, 2, 2])", IMAGE, slow=True),
    Network("resnet50", "resnet(bottleneck, [1, 2, 1, 1], expansion=4, classes=7)", IMAGE, slow=True),
    Network("densenet", "densenet(4, [1, 2, 2, 1], 8, 5)", IMAGE),
    Network("mobilenet_v2", "mobilenet_v2(0.25, 5)", IMAGE, slow=True),
    Network("efficientnet", "efficientnet(0.25, 5)", (1, 3, 64, 64), slow=True),
    Network("convnext", "convnext([1, 1, 2, 1], [8, 12, 16, 24], 5)", IMAGE),
    Network("unet", "UNet(4, 2)", (1, 1, 256, 256)),
    Network("vit", "ViT(32, 8, 2, 2, 16, 5)", (1, 3, 32, 32)),
    Network("gpt2", "Gpt2(97, 32, 16, 2, 4)", (1, 12), vocab=97),
    Network("llama_block", "LlamaBlock(32, 4, 2, 48)", (1, 8, 32)),
    Network("lstm_classifier", "LstmClassifier(50, 8, 6, 2, 2)", (1, 12), vocab=50),
    Network("landscape", "Landscape()", (1, 3, 96, 160), file=OTHERS),
    Network("waves", "Waves()", (1, 2, 512), file=OTHERS),
    Network("volumes", "Volumes()", (1, 1, 16, 24, 32), file=OTHERS),
    Network("positions", "Positions()", (1, 3, 64, 96), file=OTHERS),
    Network("pyramid", "Pyramid()", (1, 3, 64, 96), file=OTHERS),
)
"""The inputs and sizes of the twins are those of tests/networks/test_twins.py."""


# ------------------------------------------------------------ the source of one network
def source(made: str, file: Path) -> str:
    """A module of what an expression needs, and a function `network` that makes it."""
    text = file.read_text(encoding="utf-8")
    nodes = ast.parse(text).body
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {name: node for node in nodes for name in names_defined(node)}
    needed, waiting = set[str](), {node.id for node in ast.walk(ast.parse(made)) if isinstance(node, ast.Name)}
    while waiting:
        name = waiting.pop()
        if name in named and name not in needed:
            needed.add(name)
            waiting |= {node.id for node in ast.walk(named[name]) if isinstance(node, ast.Name)}
    kept = [node for node in nodes if needed.intersection(names_defined(node))]
    parts = [ast.get_source_segment(text, node) or "" for node in kept]
    head = "\n".join(ast.get_source_segment(text, node) or "" for node in imports)
    return "\n\n\n".join([head, *parts, f"def network():\n    return {made}\n"])


def names_defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


# ------------------------------------------------------------ places
@dataclass(frozen=True)
class SourceText(Text):
    """Python's own text: a node stands where its line and column say."""

    def range(self, expression: Expression, node: ast.expr | None = None) -> tuple[int, int] | None:
        tree = node or expression.tree
        first, last = self.whole(tree.lineno), self.whole(tree.end_lineno or tree.lineno)
        if not first.isascii() or not last.isascii():
            return None
        start, end = (self.offset(Span("", line, 1)) for line in (tree.lineno, tree.end_lineno or tree.lineno))
        return start + tree.col_offset, end + (tree.end_col_offset or 0)


def places(text: str) -> Iterator[Found]:
    """Every function of a module but `network`, as one thing to look for places in."""
    tree = ast.parse(text)
    blocks = {name: arguments for node in tree.body for name, arguments in signatures(node)}
    named = Counter(word for node in ast.walk(tree) if (word := called_name(node)) in blocks)
    for node in tree.body:
        attention = "attention" in ast.unparse(node).lower()
        for function in functions(node):
            scope = Scope(blocks, tensor_names(function), uses=named, attention=attention)
            yield Found(Expression("", Span("", function.lineno, 1), function), scope)


def functions(node: ast.stmt) -> list[ast.FunctionDef]:
    """A function by itself, or the methods of a class."""
    if isinstance(node, ast.ClassDef):
        return [method for method in node.body if isinstance(method, ast.FunctionDef)]
    return [node] if isinstance(node, ast.FunctionDef) and node.name != "network" else []


def signatures(node: ast.stmt) -> Iterator[tuple[str, tuple[Argument, ...]]]:
    """The functions and classes of a module → their arguments; those within a function too."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef) and inner.name not in ("__init__", "forward", "network"):
            yield inner.name, arguments(inner)
        elif isinstance(inner, ast.ClassDef):
            made = [method for method in functions(inner) if method.name == "__init__"]
            yield from ((inner.name, arguments(method)) for method in made)


def arguments(function: ast.FunctionDef) -> tuple[Argument, ...]:
    given = function.args.args
    defaults = [None] * (len(given) - len(function.args.defaults)) + [*function.args.defaults]
    here = Span("", function.lineno, 1)
    return tuple(
        Argument(CALLED.get(one.arg, one.arg), default and Expression(ast.unparse(default), here, default), here)
        for one, default in zip(given, defaults, strict=True)
        if one.arg != "self"
    )


def called_name(node: ast.AST) -> str:
    head = node.func if isinstance(node, ast.Call) else None
    return head.id if isinstance(head, ast.Name) else head.attr if isinstance(head, ast.Attribute) else ""


def tensor_names(function: ast.FunctionDef) -> tuple[str, ...]:
    """The names of tensors in a method that takes one, the oldest first."""
    given = [one.arg for one in function.args.args if "Tensor" in ast.unparse(one.annotation or ast.Constant(""))]
    stored = [node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    found = [node.id for node in sorted(stored, key=lambda node: (node.lineno, node.col_offset))]
    return tuple(dict.fromkeys([*given, *found])) if given else ()


# ------------------------------------------------------------ mutations
def mutations(origin: Origin, *, seed: int, kinds: Iterable[str] = KINDS) -> list[Mutation]:
    """Every mutation of a network's source; the order is the seed's."""
    text, wanted = SourceText(origin.text), dict.fromkeys(kinds)
    edits = [edit for place in places(origin.text) for kind in PLACED for edit in kind(place, text, Sized({}))]
    edits += flatten_edits(origin.text)
    found = [mutated(origin, edit) for edit in edits if is_wanted(edit, wanted)]
    ordered = {mutation.text: mutation for mutation in found if mutation.text != origin.text}.values()
    return list(in_turn([shuffled(origin, kind, [m for m in ordered if m.kind == kind], seed) for kind in wanted]))


def is_wanted(edit: Edit, wanted: Mapping[str, None]) -> bool:
    """`prev` is a name of specs alone."""
    return edit.kind in wanted and edit.new != "prev"


def flatten_edits(text: str) -> Iterator[Edit]:
    """A layer or a method that flattens, left out."""
    for found in re.finditer(r"nn\.Flatten\(\), |\.flatten\(\d\)", text):
        yield Edit("flatten", *found.span(), "", f"without {found[0].strip(', ')}")
