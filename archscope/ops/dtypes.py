"""The dtypes of tensors that specs, options and inputs may name, by torch's names without `torch.`."""

from __future__ import annotations

FLOAT_DTYPE_NAMES = ("float32", "float64", "float16", "bfloat16")
"""The dtypes that a model's weights may be given."""
DTYPE_NAMES = (
    *FLOAT_DTYPE_NAMES,
    *("int64", "int32", "int16", "int8", "uint8"),
    *("bool", "complex64", "complex128"),
)
DTYPE_ALIASES = {"long": "int64", "int": "int32", "float": "float32", "double": "float64", "half": "float16"}
"""torch's second names."""
