"""The network: its device, its batches, and the pass that gives hidden states.

`encoder` runs texts in batches (`batching`), several at a time (`parallel`), through a `backbone`,
which uses `packed_attention`, `fused_layers`, `early_exit`, `skipped_layers` and `int8`; `devices`
resolves devices. All but `batching` and `devices` import torch at the top; import them where they
are used.
"""
