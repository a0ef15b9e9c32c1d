"""ELMo: words from their characters, read by language models in both directions.

`options` finds and reads ``options.json``, `weights` the HDF5 file, `words` splits texts into words
and turns words into characters, and `network` computes the layers. Only `network` imports torch at
the top.
"""
