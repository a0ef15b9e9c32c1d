"""The network itself: which device it runs on, how batches are made, and the pass that gives hidden
states.

All of these modules import torch, but for `batching` and `devices`; they are imported where they
are used.
"""
