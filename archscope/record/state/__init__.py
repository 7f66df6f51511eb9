"""The state that a run must not change: saved before, restored afterwards, also if the run raises.

process           settings, modes and flags of the process and of the model; the contexts that preserve everything
objects           a model's attributes, containers, helper objects; object_snapshots: one object before the run
tensors           the metadata of tensors, and their values before the first write
restore_steps     every step runs, whatever the others raise, and one warning lists those that failed
"""
