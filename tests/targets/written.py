"""Classes that make their layers in many notations. A comment `# makes: path` names the layers that its line makes."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn as neural
from torch import nn
from torch.nn import Conv2d

WIDTH = 12
Alias = nn.Linear


def conv3x3(cin: int, cout: int) -> nn.Module:
    return nn.Conv2d(cin, cout, 3, padding=1)


class Assigned(nn.Module):
    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, width, 3)  # makes: plain
        self.one, self.two = (
            nn.Linear(4, 5),  # makes: one
            nn.Linear(5, 6),  # makes: two
        )
        self.noted: nn.Module = neural.ReLU(inplace=True)  # makes: noted
        self.aliased = Conv2d(3, width, kernel_size=(1, 3))  # makes: aliased
        self.renamed = Alias(WIDTH, WIDTH // 2)  # makes: renamed
        self.first = self.second = nn.Dropout(0.25)  # makes: first
        self.add_module("added", nn.BatchNorm2d(width))  # makes: added
        setattr(self, "by_name", nn.GroupNorm(1, width))  # noqa: B010  # makes: by_name
        norm = nn.LayerNorm(width)  # makes: norm
        self.norm = norm
        self.chosen = nn.Linear(width, 2) if width == 5 else nn.Linear(width, 3)  # makes: chosen
        self.absent = None if width > 100 else nn.Linear(width, 7)  # makes: absent
        self.helped = conv3x3(3, 4)
        self.long = nn.Conv2d(  # makes: long
            3,
            width,
            3,
        )
        self.body = self.made()

    def made(self) -> nn.Module:
        self.inside = nn.Linear(8, 9)  # makes: inside
        return nn.Sequential(nn.Linear(1, 2))


class Contained(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3),  # makes: body.0
            nn.Sequential(
                nn.BatchNorm2d(width),  # makes: body.1.0
                nn.ReLU(True),  # makes: body.1.1
            ),
            nn.Conv2d(width, 7, 1),  # makes: body.2
        )
        self.named = nn.Sequential(
            OrderedDict(
                [
                    ("wide", nn.Linear(4, 8)),  # makes: named.wide
                    ("narrow", nn.Linear(8, 4)),  # makes: named.narrow
                ]
            )
        )
        self.listed = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 2)])  # makes: listed.0 listed.1
        self.table = nn.ModuleDict({"a": nn.Linear(4, 1)})  # makes: table.a
        self.again = nn.ModuleList(nn.Linear(4, n) for n in (5, 6))  # makes: again.0 again.1
        self.mixed = nn.Sequential(
            nn.Linear(4, 4),  # makes: mixed.0
            *[nn.Linear(4, 4, bias=False) for _ in range(2)],  # makes: mixed.1 mixed.2
            nn.Linear(4, 9),  # makes: mixed.3
        )
        self.appended = nn.ModuleList()
        for n in range(2):
            self.appended.append(nn.Linear(n + 1, 3))  # makes: appended.0 appended.1
            setattr(self, f"numbered{n}", nn.Linear(n + 1, 4))  # makes: numbered0 numbered1
        layers: list[nn.Module] = []
        for n in range(2):
            layers += [nn.Linear(n + 2, 3)]
        self.collected = nn.Sequential(*layers)


class Derived(Contained):
    def __init__(self) -> None:
        super().__init__(6)
        self.table = nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(3, 3)})  # makes: table.b


class Holding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Assigned(), Assigned()
        self.right.plain = nn.Conv2d(3, 8, 5)  # makes: right.plain
        self.right.one = nn.Linear(4, 5, bias=False)  # makes: right.one


class Replaced(nn.Module):
    """Its layer is set by other code, with arguments that would match both calls."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(16, classes)


def replaced() -> nn.Module:
    net = Replaced(3)
    net.fc = nn.Linear(16, 4)
    return net


class Twice(nn.Module):
    """Either branch may have made the layer."""

    def __init__(self, wide: bool, width: int) -> None:
        super().__init__()
        if wide:
            self.fc = nn.Linear(4, width)
        else:
            self.fc = nn.Linear(width, 4)
