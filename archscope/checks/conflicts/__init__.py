"""Conflicts of shapes: their diagnosis, and the search for fixes.

TraceIndex → diagnosis   a Diagnosis of each mismatch: its operands, the steps of each since the fork, its cause
               axis_history, axis_origins   how each axis got its size; axis_names   the names of axes
               operand_relations    residual, table, pyramid; causes   the class of a cause
               size_model, fitting_sizes   input sizes at which everything fits
               uneven_windows       windows that round, crops that do not correct that
               size_origins, view_factors   sizes as products; sizes_json   all of it as plain data
Failure → refused_calls   why torch rejected a call, as far as its shapes show
Diagnosis → proposals/   edits of a spec's text that may fix it        layer_changes   other arguments of a layer
edit      → step_changes what it changes in the compiled net, step by step
          → edit_verdict whether it fixes the conflict and breaks nothing   run_comparison   the same for runs of a
          model
          → fix_search   the edits that pass, the best first → Fixes of the Finding

`api` compiles and runs the edits; `render.conflicts` writes the text.
"""
