"""torchinfo's summary, made with forward hooks: a layer's MACs follow from its parameters and its output.

summary_list ─ leaf layers, call by call ─→ CountedOps, with the numbers of weight and bias elements
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from archscope.counters.model_call import ModelCall, time_work
from archscope.counters.result import CountedOp, CounterResult


def run_torchinfo(call: ModelCall) -> Iterator[CounterResult]:
    from torchinfo import summary

    def summarized() -> Any:
        mode = "train" if call.train else "eval"
        return summary(call.model, input_data=list(call.args), verbose=0, mode=mode, **call.kwargs)

    with cache_restored():
        summarized_model, seconds = time_work(summarized)
    paths = {id(module): path for path, module in call.model.named_modules()}
    yield CounterResult(
        "torchinfo",
        "torchinfo",
        granularity="layers",
        params=int(summarized_model.total_params),
        macs=int(summarized_model.total_mult_adds),
        seconds=seconds,
        counts=tuple(layer_count(layer, paths) for layer in summarized_model.summary_list if layer.is_leaf_layer),
    )


@contextmanager
def cache_restored() -> Iterator[None]:
    """Inside, torchinfo may cache the layers of a model; afterwards its cache is as before, so the model can be
    freed."""
    from torchinfo import torchinfo as module

    cached = dict(module._cached_forward_pass)
    try:
        yield
    finally:
        module._cached_forward_pass = cached


def layer_count(layer: Any, paths: Mapping[int, str]) -> CountedOp:
    named = list(layer.module.named_parameters())
    sizes = [(name, layer.get_param_count(layer.module, name, param)[0]) for name, param in named]
    weights = sum(size for name, size in sizes if "weight" in name)
    biases = sum(size for name, size in sizes if "bias" in name and "weight" not in name)
    pruned = sum(param.numel() for _, param in named) - sum(size for _, size in sizes)
    output = tuple(layer.output_size) if all(isinstance(n, int) for n in layer.output_size) else ()
    return CountedOp(paths.get(layer.layer_id, ""), layer.class_name, int(layer.macs), weights, biases, pruned, output)
