"""The networks that benchmarks run, by short names: those of this repository's specs."""

from __future__ import annotations

from pathlib import Path

SPECS = Path(__file__).resolve().parents[2] / "specs"
TARGETS = {
    name: f"{SPECS}/{target}"
    for name, target in {
        "resnet18": "resnet.yaml:resnet18",
        "resnet50": "resnet.yaml:resnet50",
        "densenet121": "densenet.yaml",
        "vit_b_16": "vit.yaml:vit_b_16",
        "gpt2": "gpt2.yaml",
        "unet": "unet.yaml",
        "lstm": "lstm_classifier.yaml",
        "lenet": "tutorials/lenet.yaml",
    }.items()
}
