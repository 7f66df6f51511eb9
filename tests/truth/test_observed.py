"""Published models run under the recorder as they run alone, and are afterwards what they were before.

Small ones of torchvision, timm and transformers, on the CPU, in evaluation, in training and under autocast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from tests.record.snapshots import changed_by_analysis
from tests.sequence import WAYS, Made, alone, in_one_way, observed
from tests.truth.cases import ALL
from tests.truth.packages import package

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore"), pytest.mark.law]

VISION = {
    **dict.fromkeys(("alexnet", "vgg11_bn", "resnet18", "resnext50_32x4d", "densenet121", "squeezenet1_1"), 64),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0"), 64),
    **dict.fromkeys(("regnet_y_400mf", "convnext_tiny", "swin_t", "swin_v2_t"), 64),
    **dict.fromkeys(("vit_b_32", "maxvit_t"), 224),
    **dict.fromkeys(("googlenet", "inception_v3"), 96),
}
"""Model of torchvision → the side of its image."""
TIMM = (
    *("resnet10t", "mobilenetv3_small_050", "efficientnet_lite0", "levit_128s", "xcit_nano_12_p8_224", "ghostnet_050"),
    *("convnext_atto", "edgenext_xx_small", "mobilevit_xxs", "poolformer_s12", "vit_tiny_patch16_224", "pit_ti_224"),
)
LANGUAGE = {case.name: case for case in ALL}


def of_torchvision(name: str) -> Made:
    models = package("torchvision").models
    keywords = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model(name, weights=None, init_weights=True, **keywords) if keywords else models.get_model(name)
    return model, (torch.ones(2, 3, VISION[name], VISION[name]),), {}


def of_timm(name: str) -> Made:
    model = package("timm").create_model(name, pretrained=False)
    return model, (torch.ones(2, *model.default_cfg["input_size"]),), {}


def of_transformers(name: str) -> Made:
    case = LANGUAGE[name]
    return case.made(package("transformers")), (), case.given()


LIBRARIES: dict[str, tuple[Callable[[str], Made], tuple[str, ...]]] = {
    "torchvision": (of_torchvision, tuple(VISION)),
    "timm": (of_timm, TIMM),
    "transformers": (of_transformers, tuple(LANGUAGE)),
}


def runs_as_alone(make: Callable[[], Made], way: str) -> bool:
    """Return whether the same operators of aten run, on the same shapes. Raises what the model raises by itself."""
    in_one_way(alone, make, way)  # models keep some of what a first run works out
    by_itself = in_one_way(alone, make, way)
    return in_one_way(observed, make, way) == by_itself


CASES = [
    pytest.param(partial(make, name), id=f"{library}-{name}")
    for library, (make, names) in LIBRARIES.items()
    for name in names
]


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_model_runs_as_it_does_alone(make: Callable[[], Made], way: str) -> None:
    try:
        same = runs_as_alone(make, way)
    except (RuntimeError, TypeError, ValueError) as error:
        pytest.skip(f"does not run so: {error}")
    assert same


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_model_is_as_it_was(make: Callable[[], Made], way: str) -> None:
    model, args, kwargs = make()
    assert changed_by_analysis(model, args, kwargs, way) == []
