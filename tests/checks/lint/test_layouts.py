"""Tests of views that mix axes and of classifiers on a width: mistakes that must be found, known designs that must
not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.checks.lint.nets import Net, finding_keys, of_module, of_steps

pytestmark = pytest.mark.moves_rng
MIXED, WIDTH = "mixed-axes", "linear-on-width"
LAYOUT = {MIXED, WIDTH}
SEQUENCE, IMAGE = "[N, 49, 64]", "[N, 3, 32, 32]"
HEADS = "view(N, 49, 4, 16); transpose(1, 2); scaled_dot_product_attention(prev, prev, prev)"


@pytest.mark.parametrize(
    ("shape", "steps", "path"),
    [
        (SEQUENCE, f"Linear(64); {HEADS}; reshape(N, 49, 64); Linear(64)", "4"),  # the heads are not moved back
        (SEQUENCE, f"Linear(64); {HEADS}; reshape(N, 49, 64)", "4"),
        (SEQUENCE, f"Linear(64); {HEADS}; flatten(1); view(N, 49, 64); Linear(64)", "5"),
        (SEQUENCE, "Linear(64); view(N, 4, 49, 16); scaled_dot_product_attention(prev, prev, prev)", "1"),
        (SEQUENCE, "Linear(192); view(N, 3, 4, 49, 16); prev[:, 0] @ prev[:, 1].transpose(2, 3)", "1"),
        ("[N, 16, 64]", f"Linear(64); {HEADS.replace('49', '16')}; reshape(N, 16, 64); Linear(64)", "4"),
        (IMAGE, "view(N, 1024, 3); Linear(8)", "0"),
        (IMAGE, "Conv2d(64, 3, padding=1); ReLU; view(N, 1024, 64); Linear(8)", "2"),
        (IMAGE, "Conv2d(64, 4, stride=4); view(N, 64, 64); Linear(8)", None),  # as flatten(2): nothing to be seen
        (IMAGE, "Conv2d(48, 4, stride=4); reshape(N, 64, 48); LayerNorm; Linear(8)", "1"),
        (IMAGE, "Conv2d(48, 4, stride=4); reshape(N, 64, 48); prev + Parameter(1, 64, 48); LayerNorm", "1"),
        (IMAGE, "Conv2d(48, 4, stride=4); reshape(-1, 48); Linear(8)", "1"),
        (IMAGE, "Conv2d(48, 4, stride=4); reshape(N, 64, 48); mean(1); Linear(8)", "1"),
        ("[N, 64, 48]", "Linear(48); reshape(N, 48, 8, 8); Conv2d(8, 3)", "1"),  # tokens to a map
        ("[N, 5, 12, 8, 8]", "view(N * 12, 5, 8, 8); Conv2d(4, 3)", "0"),  # time, behind the channels
        ("[N, 8, 40]", "Conv1d(16, 3, padding=1); view(N, 40, 16); LSTM(8, batch_first=True); prev[0]", "1"),
        ("[N, 40, 24]", "view(N, 24, 40); Conv1d(8, 3)", "0"),
        ("[N, 40, 24]", "transpose(1, 2); Conv1d(8, 3)", None),
    ],
)
def test_views_that_should_be_transposes(shape: str, steps: str, path: str | None, tmp_path: Path) -> None:
    found = [one for one in finding_keys(of_steps(tmp_path, shape, steps)) if one[0] in LAYOUT]
    assert found == ([(MIXED, "warning", path)] if path else [])


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("Conv2d(8, 3); ReLU; MaxPool2d(2); Linear(10)", True),
        ("Conv2d(8, 3); ReLU; Linear(64); ReLU; Dropout(0.5); Linear(10); Softmax(-1)", True),
        ("Conv2d(8, 3, bias=False); BatchNorm2d; ReLU; Linear(10)", True),
        ("MaxPool2d(2); Linear(10)", True),
        ("Conv2d(8, 3); ReLU; MaxPool2d(2); Flatten; Linear(10)", False),
        ("Conv2d(8, 3); AdaptiveAvgPool2d(1); Flatten; Linear(10)", False),
        ("Conv2d(8, 3); ReLU; permute(0, 2, 3, 1); Linear(10)", False),  # every position, as a 1×1 convolution
        ("Conv2d(8, 3); ReLU; flatten(2); transpose(1, 2); Linear(10)", False),
        ("Conv2d(8, 3); ReLU; Linear(30); ReLU", False),  # mixes columns, and keeps them
        ("Conv2d(8, 3); ReLU; Linear(10); ReLU; Conv2d(8, 3)", False),  # a layer inside
        ("Conv2d(8, 3); ReLU; Linear(10); mean([1, 2])", False),
        ("Conv2d(1, 3); ReLU; Linear(10)", False),  # one map: a table, as spectrograms are
        ("Linear(10)", False),  # an input of which nothing is known
    ],
)
def test_classifiers_along_a_width(steps: str, found: bool, tmp_path: Path) -> None:
    assert (WIDTH in {rule for rule, *_ in finding_keys(of_steps(tmp_path, IMAGE, steps))}) == found


# ------------------------------------------------------------ known designs
def windows(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Swin: windows of 4 × 4, attention inside of each, and back."""
    n, h, w, c = x.shape
    inside = m.norm(x).view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
    q, k, v = m.qkv(inside).reshape(-1, 16, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
    out = m.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 16, c))
    return x + out.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)


def merging(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Swin's patch merging, as views alone."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5).flatten(3)
    return m.two(m.one(x).view(n, -1, 2 * c))


def shuffle(m: Net, x: torch.Tensor) -> torch.Tensor:
    """ShuffleNet: channels in groups change places."""
    n, c, h, w = x.shape
    return m.two(m.one(x).view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w))


def pixels(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Sub-pixel convolution, written out: space from channels."""
    n, c, h, w = x.shape
    return m.two(m.one(x).view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w))


def depth(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Channels from space."""
    n, c, h, w = x.shape
    return m.one(x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2))


def vision(m: Net, x: torch.Tensor) -> torch.Tensor:
    """ViT: patches, a class token, attention, the token's class."""
    x = m.patches(x).flatten(2).transpose(1, 2)
    x = torch.cat([m.token.expand(len(x), -1, -1), x], 1) + m.position
    n, t, d = x.shape
    q, k, v = (part.view(n, t, 4, d // 4).transpose(1, 2) for part in m.qkv(x).chunk(3, -1))
    return m.head((x + (q @ k.transpose(2, 3)).softmax(-1).matmul(v).transpose(1, 2).reshape(n, t, d))[:, 0])


def folded(m: Net, x: torch.Tensor) -> torch.Tensor:
    """torch's own attention: steps first, heads beside the batch."""
    t, n, d = x.shape
    q, k, v = (one(x).view(t, n * 4, d // 4).transpose(0, 1) for one in (m.q, m.k, m.v))
    return m.out(((q @ k.mT).softmax(-1) @ v).transpose(0, 1).reshape(t, n, d))


def adapter(m: Net, x: torch.Tensor) -> torch.Tensor:
    """LoRA: a map and its update of low rank."""
    return m.main(x) + m.up(m.down(x)) * 0.5


def convnext(m: Net, x: torch.Tensor) -> torch.Tensor:
    y = m.two(F.gelu(m.one(m.norm(m.deep(x).permute(0, 2, 3, 1)))))
    return x + y.permute(0, 3, 1, 2)


def unrolled(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Elman's net, step by step."""
    h = x.new_zeros(len(x), 8)
    for t in range(x.shape[1]):
        h = torch.tanh(m.into(x[:, t]) + m.over(h))
    return m.head(h)


def mixer(m: Net, x: torch.Tensor) -> torch.Tensor:
    """MLP-Mixer: over tokens, then over channels."""
    x = x + m.two(F.gelu(m.one(x.transpose(1, 2)))).transpose(1, 2)
    return x + m.four(F.gelu(m.three(x)))


def squeezed(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Squeeze and excite."""
    n, c, *_ = x.shape
    return x * m.two(F.relu(m.one(x.mean((2, 3))))).sigmoid().view(n, c, 1, 1)


def unet(m: Net, x: torch.Tensor) -> torch.Tensor:
    low = F.relu(m.one(x))
    up = m.up(F.relu(m.two(F.max_pool2d(low, 2))))
    return m.head(F.relu(m.three(torch.cat([low, up], 1))))


def groups(m: Net, x: torch.Tensor) -> torch.Tensor:
    """A group norm, written out; 8 groups, as many as there are rows."""
    n, c, h, w = x.shape
    y = m.one(x).view(n, 8, -1)
    y = (y - y.mean(-1, keepdim=True)) / y.std(-1, keepdim=True)
    return m.two(y.view(n, c, h, w))


def shifted(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Relative positions, which a view shifts against each other (Transformer-XL)."""
    n, t, _ = x.shape
    scores = F.pad(m.q(x) @ m.k(x).mT, (1, 0)).view(n, t + 1, t)[:, 1:]
    return m.v(x).transpose(1, 2) @ scores.softmax(-1).mT


def gathered(m: Net, x: torch.Tensor) -> torch.Tensor:
    """The same as Funnel and XLNet do it: a view to sizes that changed places, a cut, and back."""
    n, t, _ = x.shape
    scores = m.q(x) @ m.k(x)[:, : t // 2].mT
    scores = scores.reshape(n, t // 2, t)[:, 1:].reshape(n, t, -1)
    return m.v(x).mT @ scores.softmax(1)


def stacked(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Listen, attend and spell: two steps as one; sizes that agree by chance."""
    n, t, d = x.shape
    return m.two(F.relu(m.one(x)).reshape(n, t // 2, 2 * d))


def regions(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Region proposals: a softmax over two classes of each anchor, in a view that is taken back."""
    n, c, h, w = x.shape
    return m.one(x).view(n, 2, c // 2 * h, w).softmax(1).view(n, c, h, w)


def capsules(m: Net, x: torch.Tensor) -> torch.Tensor:
    return m.two(m.one(x).view(len(x), -1, 8))


def strips(m: Net, x: torch.Tensor) -> torch.Tensor:
    """Horizontal strips of a map; as many as it has columns."""
    n, c, h, w = x.shape
    return m.two(m.one(x).view(n, c, w, h * w // w).mean(-1).flatten(1))


class Vision(Net):
    def __init__(self) -> None:
        linears = {"qkv": nn.Linear(32, 96), "head": nn.Linear(32, 10)}
        super().__init__(vision, patches=nn.Conv2d(3, 32, 4, 4), **linears)
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 32)), nn.Parameter(torch.zeros(1, 65, 32))


def conv(into: int, out: int, size: int = 3, **more: object) -> nn.Conv2d:
    return nn.Conv2d(into, out, size, padding=size // 2, **more)


def linears(size: int, *names: str, **others: nn.Module) -> dict[str, nn.Module]:
    return {**{name: nn.Linear(size, size) for name in names}, **others}


DESIGNS: dict[Callable[..., torch.Tensor], tuple[Net, tuple[int, ...]]] = {
    windows: (Net(windows, **linears(64, "out", qkv=nn.Linear(64, 192), norm=nn.LayerNorm(64))), (1, 8, 16, 64)),
    merging: (Net(merging, one=nn.LayerNorm(64), two=nn.Linear(32, 32)), (1, 8, 16, 16)),
    shuffle: (Net(shuffle, one=conv(16, 16, 1, groups=4), two=conv(16, 16, groups=16)), (1, 16, 8, 4)),
    pixels: (Net(pixels, one=conv(16, 16), two=conv(4, 3)), (1, 16, 8, 4)),
    depth: (Net(depth, one=conv(16, 16)), (1, 4, 8, 16)),
    vision: (Vision(), (1, 3, 32, 32)),
    folded: (Net(folded, **linears(32, "q", "k", "v", "out")), (16, 1, 32)),
    adapter: (
        Net(adapter, main=nn.Linear(64, 64), down=nn.Linear(64, 4, bias=False), up=nn.Linear(4, 64, bias=False)),
        (1, 16, 64),
    ),
    convnext: (
        Net(
            convnext,
            deep=conv(16, 16, 7, groups=16),
            norm=nn.LayerNorm(16),
            one=nn.Linear(16, 64),
            two=nn.Linear(64, 16),
        ),
        (1, 16, 8, 8),
    ),
    unrolled: (Net(unrolled, into=nn.Linear(4, 8), over=nn.Linear(8, 8), head=nn.Linear(8, 2)), (1, 6, 4)),
    mixer: (
        Net(mixer, one=nn.Linear(16, 32), two=nn.Linear(32, 16), three=nn.Linear(8, 32), four=nn.Linear(32, 8)),
        (1, 16, 8),
    ),
    squeezed: (Net(squeezed, one=nn.Linear(16, 4), two=nn.Linear(4, 16)), (1, 16, 8, 8)),
    unet: (
        Net(
            unet,
            one=conv(3, 8),
            two=conv(8, 16),
            three=conv(16, 8),
            up=nn.ConvTranspose2d(16, 8, 2, 2),
            head=conv(8, 2, 1),
        ),
        (1, 3, 16, 16),
    ),
    groups: (Net(groups, one=conv(32, 32), two=conv(32, 32)), (1, 32, 8, 8)),
    shifted: (Net(shifted, **linears(8, "q", "k", "v")), (1, 16, 8)),
    gathered: (Net(gathered, **linears(8, "q", "k", "v")), (1, 16, 8)),
    stacked: (Net(stacked, one=nn.Linear(32, 32), two=nn.Linear(64, 8)), (1, 64, 32)),
    regions: (Net(regions, one=conv(32, 32)), (1, 32, 2, 2)),
    capsules: (Net(capsules, one=conv(32, 32), two=nn.Linear(8, 16)), (1, 32, 6, 6)),
    strips: (Net(strips, one=conv(8, 8), two=nn.Linear(64, 8)), (1, 8, 16, 8)),
}


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.__name__)
@pytest.mark.parametrize("batch", [1, 2])
def test_known_designs_are_left_alone(design: Callable[..., torch.Tensor], batch: int) -> None:
    net, shape = DESIGNS[design]
    at = 1 if design is folded else 0
    found = of_module(net, (*shape[:at], batch, *shape[at + 1 :]))
    assert [one for one in finding_keys(found) if one[1] != "note"] == []
