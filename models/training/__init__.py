"""Fine-tuning: a transformer with a head, trained on token sequences without padding.

`network` is the trainable copy of a checkpoint and its `heads`; `lower_states` keeps the hidden
states below the trained layers; `loop` trains on data such as `examples` that are `labelled`, at
the learning rates of `schedules` and with the random numbers of `seeding`; `answers` are the data
of questions; `state_file` keeps where a training is; `tuned_weights` are what training changed, in
bytes or as a directory. All but `examples` and `schedules` import torch at the top.
"""

from __future__ import annotations
