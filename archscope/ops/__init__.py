"""What torch's operations do to shapes, as plain arithmetic without torch.

windows             kernels that move over an input: convolutions and poolings
axis_map            where views, permutations and parts move axes
shape_errors        why the shapes of a function call do not fit
constructor_checks  arguments that a layer's constructor cannot take
norms               the names of normalisations
dtypes              the dtypes that specs, options and inputs may name
sequence_order      batch and sequence axes of attention and recurrent layers
"""
