"""Fixes of conflicts: edits that may remove one, tried in memory; those that fix it and break nothing are offered.

Diagnosis → proposals/     edits of a spec's text that may fix it, the likeliest first
edit      → step_changes   what it changes in the compiled net, step by step
          → edit_verdict   whether it fixes the conflict and breaks nothing   run_comparison   the same for runs
          → fix_search     the edits that pass, the best first → Fixes of the Finding

spec_checks     all findings of a spec, with fixes: spec_fixes tries proposals; effect_on_variants, expected_figures
module_checks   all findings of a Python target, with fixes: module_fixes tries other layers, source_fixes edits of the
                source (source_proposals), argument_trials other arguments, input_trials other input sizes
repairs         a spec → its fixes, applied one after the other → Repair
"""
