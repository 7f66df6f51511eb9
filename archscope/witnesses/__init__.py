"""The witnesses: other tools count the same model on the same input, each alone, and leave nothing behind.

Call → isolated → fvcore | torchinfo | FlopCounterMode → Statement: what it counted where, or why it could not
"""

from archscope.witnesses.call import Call, timed
from archscope.witnesses.hearing import hear, hear_all, nothing, ready
from archscope.witnesses.isolation import isolated

__all__ = ["Call", "hear", "hear_all", "isolated", "nothing", "ready", "timed"]
