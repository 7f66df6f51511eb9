"""Analyses: a spec or a module → run → Report; the same at other sizes; its time and memory.

run_options, timing_options   the options of the public functions, parsed
spec_plans      a loaded spec → Plan; spec_session: all compilations of one spec
spec_runs       Plan → recorded run → Report; plan_costs: the MACs of a plan from one run of each distinct block
module_runs     a Python target or live module → recorded run → Report
run_reports     a recorded run → Report; report_requests: the call that made it
run_findings    its conflicts, failure and unmet expectations; input_help, out_of_memory: loaded if a run breaks
spec_at_other_sizes, module_at_other_sizes   other batch sizes and images, for warnings; same_runs
spec_timings, module_timings → prepared_timing → measured_timings   a target → Timing; timing_grids: several of them
device_ceilings, batch_capacity              the peak rates of a device, and what fits into its memory
cross_checks    the counts of other tools beside ours
comparisons, check_policy                    reports side by side; the settings of a check
cost_registry   the formulas that reports are priced with

A summary or a timing of a module does not import the compiler, and no module of this package is imported before an
analysis begins, except those of options and of a check's policy, which do not need torch.
"""
