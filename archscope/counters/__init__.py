"""Reference counters: other tools that count the MACs of the same model on the same input, beside a report.

ModelCall → isolated → fvcore | torchinfo | FlopCounterMode → CounterResult
Report + CounterResults ─ explain: rows and counts by module (per_module), known causes (difference_causes) → CrossCheck

model_call     the call that is counted; isolation: what a counter leaves changed is restored
counter_runs   all counters in turn: fvcore, torchinfo, flop_counter (torch's own)
result         what a counter counted in which module, or why it could not count, as plain data without torch
differences    Difference, Account and CrossCheck. A cause is only given if its arithmetic yields the counter's figure.
"""
