"""The witnesses: other tools count the same model on the same input, each alone, and leave nothing behind.

Call → isolated → fvcore | torchinfo | FlopCounterMode → CounterResult: what it counted where, or why it could not
"""

from archscope.counters.isolation import isolated
from archscope.counters.model_call import ModelCall, time_work
from archscope.counters.run import identity_call, run_counter, run_counters, warm_up_torch

__all__ = ["ModelCall", "identity_call", "isolated", "run_counter", "run_counters", "time_work", "warm_up_torch"]
