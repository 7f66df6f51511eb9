"""The layers of torch.nn: their constructors' signatures, and their arguments in short.

signatures   names and constructors of all layers; arguments bound to a constructor, without running it
layer_text   `64, 7×7, stride 2` for a layer of a spec or a live module
"""

from archscope.torch_layers.layer_text import describe_layer

__all__ = ["describe_layer"]
