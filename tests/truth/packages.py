"""The packages whose models are the truth's targets: a name → the package, or a skip where it is not installed.

They are no dependencies of ours. torchvision beside a torch that its compiled library does not know lacks two
operators; they are declared before it is imported again.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from types import ModuleType

import pytest
import torch

LIBRARIES: list[torch.library.Library] = []  # a declaration lives as long as its library does
DECLARED = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def package(name: str) -> ModuleType:
    """The package, with what its import warns about kept quiet. Skips the whole test module where it is missing.

    timm and transformers import torchvision where it is installed, so that it is made ready before them.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if name != "torchvision" and importlib.util.find_spec("torchvision"):
        imported("torchvision")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)
    return imported(name)


def imported(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except RuntimeError as error:
            if "operator torchvision::nms does not exist" not in str(error):
                raise
            declare()
            return importlib.import_module(name)


def declare() -> None:
    """torchvision's operators without kernels; what a failed import left behind is forgotten."""
    library = torch.library.Library("torchvision", "DEF")
    for schema in DECLARED:
        library.define(schema)
    LIBRARIES.append(library)
    for module in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
        del sys.modules[module]
