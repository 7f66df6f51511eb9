"""The normalisations of torch, by the short names of their functions."""

from __future__ import annotations

CHANNEL_NORMS = frozenset(["batch_norm", "instance_norm"])
"""Those with a weight for each channel, the second axis; a batch norm uses the statistics of the batch in training."""
NORM_OPS = CHANNEL_NORMS | {"group_norm", "layer_norm", "rms_norm"}
