"""Shapes that do not fit: why, and what would mend it.

TraceIndex → diagnosis   a Diagnosis of each mismatch: its operands, the steps of each since the fork, its cause
               axis_history, axes   how each axis came to its size; axis_names   what it is called
               relations            residual, table, pyramid; causes   the class of a cause
               size_model, propose_input_sizes   which sizes of the input would fit
               uneven_windows       windows that round or add, crops that do not take that back
               size_origins, conflict_view_factors   sizes as products; size_data   all of it as plain data
Failure → refusals        why torch refused a call, as far as its shapes tell
Diagnosis → proposals/   edits of a spec's text that may cure it        layer_changes   other arguments of a layer
edit      → effects      what it changes in the compiled net, step by step
          → verification whether it cures the conflict and harms nothing   comparing   the same for runs of a model
          → fix_search   the edits that pass, the best first → Fixes of the Finding

`api` compiles and runs what is tried; `render.conflicts` has the words.
"""
