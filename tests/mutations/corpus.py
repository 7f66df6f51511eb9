"""What is broken: every spec of the repository, every file of the standard library below a net that uses it, and nets
of our own.

specs/*.yaml, specs/tutorials/*.yaml, std/*.yaml, own → Origin(text, the net that is checked, what lies beside it)

A mutated file of the standard library cannot stand in the package. It is imported from `lib/` instead, line for line
the same but for the names of the files that it imports itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutations.nets import OWN

ROOT = Path(__file__).resolve().parents[2]
NETS: Mapping[str, str] = {
    "conv": """\
name: UsesConv
input: [N, 3, 32, 32]
import:
  lib/conv.yaml: [ConvBNAct, DepthwiseSeparable, DoubleConv]
layers:
  - ConvBNAct(16, stride=2)
  - residual: [DepthwiseSeparable(16)]
  - multiply: [DoubleConv(32), "Conv2d(32, 1)"]
  - Flatten
  - Linear(8192, 10)
""",
    "dense": """\
name: UsesDense
input: [N, 16, 32, 32]
import:
  lib/dense.yaml: [DenseBlock, Transition]
layers:
  - DenseBlock(8, 3)
  - Transition
  - DenseBlock(8, 2)
  - BatchNorm2d(36)
  - Conv2d(36, 40, 1)
  - Flatten
  - Linear(10240, 10)
""",
    "inception": """\
name: UsesInception
input: [N, 16, 28, 28]
import:
  lib/inception.yaml: [Inception, InceptionA]
layers:
  - Inception(16, 24, 32, 4, 8, 8)
  - BatchNorm2d(64)
  - InceptionA
  - Conv2d(88, 10, 1)
  - Flatten
  - Linear(7840, 10)
""",
    "mobile": """\
name: UsesMobile
input: [N, 16, 32, 32]
import:
  lib/mobile.yaml: [MBConv, InvertedResidual]
layers:
  - MBConv(16, expand=4)
  - MBConv(24, stride=2)
  - InvertedResidual(24)
  - InvertedResidual(32, stride=2)
  - BatchNorm2d(32)
  - Flatten
  - Linear(2048, 10)
""",
    "resnet": """\
name: UsesResnet
input: [N, 64, 32, 32]
import:
  lib/resnet.yaml: [BasicBlock, Bottleneck]
layers:
  - BasicBlock(64)
  - BasicBlock(96, stride=2)
  - Bottleneck(32)
  - Bottleneck(64, stride=2, groups=2)
  - BatchNorm2d(256)
  - Flatten
  - Linear(16384, 10)
""",
    "transformer": """\
name: UsesTransformer
inputs:
  x: [N, 12, 64]
  memory: [N, 9, 48]
import:
  lib/transformer.yaml: [EncoderLayer, DecoderLayer, SwiGLU]
layers:
  - EncoderLayer(4)(x)
  - DecoderLayer(8)(prev, memory)
  - residual: [SwiGLU(96)]
  - Linear(64, 64)
  - x + prev
""",
}
"""Standard file → a net of its blocks, whose own sizes are written out, so that few faults can pass through it."""


@dataclass(frozen=True)
class Origin:
    """One file as its author wrote it. name: as reports say it. path, net: the file and the net that shows whether it
    is right, both below the folder it is checked in. beside: what else lies there."""

    name: str
    text: str
    path: str
    net: str
    beside: Mapping[str, str] = field(default_factory=dict, repr=False)

    def put(self, folder: Path, text: str | None = None) -> str:
        """Writes everything below `folder`, with `text` in place of the author's; the net's whole path."""
        for path, content in {**self.beside, self.path: self.text if text is None else text}.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        return str(folder / self.net)


def corpus(*, more: str = "") -> list[Origin]:
    """Every spec, every file of the standard library, and the nets of our own. more: another folder of specs."""
    beside = specs(Path(more).resolve().parent, Path(more).name) if more else []
    return specs(ROOT, "specs") + library() + own() + beside


def specs(root: Path, folder: str) -> list[Origin]:
    paths = [*sorted(root.glob(f"{folder}/*.yaml")), *sorted(root.glob(f"{folder}/tutorials/*.yaml"))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    return [
        Origin(path.relative_to(root).as_posix(), text, path.name, path.name, imported(path, texts))
        for path, text in texts.items()
    ]


def own() -> list[Origin]:
    return [Origin(name, text, Path(name).name, Path(name).name) for name, text in OWN.items()]


def imported(path: Path, texts: Mapping[Path, str]) -> dict[str, str]:
    """The neighbours of a spec that it imports, by their names."""
    beside = (one for one in texts if one.parent == path.parent)
    return {one.name: texts[one] for one in beside if f"{one.name}:" in texts[path]}


def library() -> list[Origin]:
    paths = sorted(ROOT.glob("archscope/std/*.yaml"))
    texts = {f"lib/{p.name}": renamed(p.read_text(encoding="utf-8"), [p.stem for p in paths]) for p in paths}
    return [
        Origin(f"std/{p.name}", texts[f"lib/{p.name}"], f"lib/{p.name}", "net.yaml", texts | {"net.yaml": NETS[p.stem]})
        for p in paths
    ]


def renamed(text: str, stems: list[str]) -> str:
    """The same text, importing its neighbours as files."""
    for stem in stems:
        text = text.replace(f"std/{stem}:", f"{stem}.yaml:")
    return text
