"""Language models: texts without labels, what a network learns from them, and how one begins.

`corpus` holds the tokens of texts in temporary files, `sequences` cuts them into what a network
reads at once, and `masking` chooses the tokens that it predicts. `objectives` have the losses,
`network` is a transformer with a language head, and `directory` writes one as a checkpoint.
`likelihood` asks a trained one for probabilities of tokens, and `space` tells how far training
changed which texts are alike. From nothing, `wordpiece` learns a vocabulary; `architectures` are
the sizes of networks, and `initial` writes one with random weights as a directory, which is then
trained like any checkpoint.
"""

from __future__ import annotations
