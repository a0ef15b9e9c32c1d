"""The network: its device, its batches, and the pass that gives hidden states.

All modules import torch, but for `batching` and `devices`; import them where they are used.
"""
