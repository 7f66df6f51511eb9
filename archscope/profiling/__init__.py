"""Measured time and memory of a target, and what its device can do at most. Only some modules need torch.

Workload → benchmark → Measurement          Report + Measurement + Ceilings + Footprint → Timing

workload          a module, its inputs and what a step does beside the forward pass
benchmark         all measurements of a workload: whole step, rows, CUDA graph, memory
sampling          repeated runs until their time is certain; rows_cpu, rows_cuda: the time of each row
machine_state     the settings of the machine and its load by other processes; peak_memory, cuda_graph
measurement       the results as plain data, without torch
ceilings          the peak rates of a device; roofline: the least time of an operation, without torch
predicted_memory  the peak bytes of a run, and the largest batch that fits, without torch
timing            a report with its times: rows, sums and totals; timing_document: as JSON; fusion: what fusing saves
grid              one target at several batch sizes and dtypes
"""
