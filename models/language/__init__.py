"""Language models: texts without labels, as what a network is trained on.

`corpus` holds the tokens of texts in temporary files, `sequences` cuts them into what a network
reads at once, and `masking` chooses the tokens that it predicts.
"""

from __future__ import annotations
