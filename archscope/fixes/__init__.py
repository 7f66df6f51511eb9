"""Fixes of conflicts: edits that may remove one, tried in memory; those that fix it and break nothing are offered.

Diagnosis → proposals/     edits of a spec's text that may fix it, the likeliest first
edit      → step_changes   what it changes in the compiled net, step by step
          → edit_verdict   whether it fixes the conflict and breaks nothing   run_comparison   the same for runs
          → fix_search     the edits that pass, the best first → Fixes of the Finding
"""
