"""The zoo of transformers: architectures from small configs, without weights, by kind, with what they are called with.

    Case(class, config, inputs) ─ small(…) ─→ config ─ built(…) ─→ module        inputs ─ Text, Image … ─→ tensors

A config is its own default made small: every size in `SMALL` that it has takes that value; a case says what else is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tests.truth.building import built

SMALL: Mapping[str, Any] = {
    **dict.fromkeys(("vocab_size", "encoder_vocab_size", "decoder_vocab_size"), 128),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "embed_dim", "d_embed"), 64
    ),
    **dict.fromkeys(
        ("intermediate_size", "d_ff", "n_inner", "ffn_dim", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 128
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "num_encoder_attention_heads"), 4),
    **dict.fromkeys(("num_decoder_attention_heads",), 4),
    **dict.fromkeys(("head_dim", "d_kv"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_key_value_heads", "decoder_start_token_id", "eos_token_id"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
}
"""Sizes by the names that configs give them."""


@dataclass(frozen=True)
class Given:
    """An input: its shape, and the dtype and value of all its elements."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    value: float = 0

    def on(self, device: str) -> Tensor:
        return torch.full(self.shape, self.value, dtype=self.dtype, device=device)


def ids(length: int = 16) -> Given:
    return Given((1, length), torch.int64, 3)


def image(size: int = 32, channels: int = 3) -> Given:
    return Given((1, channels, size, size))


TEXT = {"input_ids": ids()}
PAIR = {"input_ids": ids(), "decoder_input_ids": ids(8)}
PIXELS = {"pixel_values": image()}
SOUND = {"input_values": Given((1, 4000))}


@dataclass(frozen=True)
class Case:
    """One architecture. model: its class. config: what its config says beside `SMALL`; nested configs are dicts."""

    model: str
    inputs: Mapping[str, Given]
    config: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.model}-{self.note}" if self.note else self.model

    def made(self, transformers: ModuleType, device: str = "cpu") -> nn.Module:
        kind = getattr(transformers, self.model)
        return built(lambda: kind(small(kind.config_class, self.config)), device)

    def given(self, device: str = "cpu") -> dict[str, Tensor]:
        return {name: value.on(device) for name, value in self.inputs.items()}


def each(
    pattern: str,
    names: str,
    inputs: Mapping[str, Given],
    config: Mapping[str, Any] = MappingProxyType({}),
    *,
    note: str = "",
) -> tuple[Case, ...]:
    """A case for each word of `names`, put into the pattern of a class's name."""
    return tuple(Case(pattern.format(name), inputs, config, note) for name in names.split())


def small(config: Any, said: Mapping[str, Any]) -> Any:
    """The config with its own defaults made small, and with what is said; `...` says that a default stays."""
    default = config()
    has = {name: value for name, value in SMALL.items() if type(getattr(default, name, None)) is int}
    has = {name: value for name, value in has.items() if said.get(name) is not ...}
    said = {name: value for name, value in said.items() if value is not ...}
    parts = {name: part for name, part in getattr(config, "sub_configs", {}).items() if name in said}
    nested = {name: small(part, said[name]) for name, part in parts.items() if "model_type" not in said[name]}
    return config(**{**has, **said, **nested})
