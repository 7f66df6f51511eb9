"""Reference counters: other tools that count the MACs of the same model on the same input.

ModelCall → isolated → fvcore | torchinfo | FlopCounterMode → CounterResult: what was counted in which module, or the
reason why the tool could not count. A counter leaves nothing changed in the model.
"""

from archscope.counters.isolation import isolated
from archscope.counters.model_call import ModelCall, time_work
from archscope.counters.run import identity_call, run_counter, run_counters, warm_up_torch

__all__ = ["ModelCall", "identity_call", "isolated", "run_counter", "run_counters", "time_work", "warm_up_torch"]
