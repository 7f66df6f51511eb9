"""Conflicts of shapes: the diagnosis of each mismatch of a run, its cause, and both in words.

TraceIndex → diagnosis   a Diagnosis of each mismatch: its operands, the steps of each since the fork, its cause
               axis_history, axis_origins   how each axis got its size, by ops.axis_map where rows only move axes
               axis_names   the names of axes
               operand_relations    residual, table, pyramid; causes   the class of a cause
               concat_dims, flattened_maps   a concat of the wrong dimension; the map before a Linear
               size_model, size_constraints, fitting_sizes   input sizes at which everything fits
               uneven_windows       windows that round, crops that do not correct that
               size_origins, view_factors   sizes as products; sizes_json   all of it as plain data
               layer_changes, declared_arguments   other arguments of a layer with which shapes would fit
Failure → refused_calls   why torch rejected a call, as far as its shapes show
Diagnosis → messages   a Finding with a sentence, the layout of its axes, its steps; help_text   its help;
               sequence_help   attention with batch and length in another order
Expectation → expected_shapes   the steps that made a shape other than the expected one
"""
