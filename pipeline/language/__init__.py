"""Language models as estimators, and what they begin with.

`language_model` has the estimator, and `read_corpus` reads its texts. `answers` has the methods
that ask it for masked words and likelihoods, and `cloze` finds and fills masks in texts.
`from_nothing` learns vocabularies and shows the sizes of networks.
"""

from __future__ import annotations

from .from_nothing import architectures, train_wordpiece
from .language_model import LanguageModel

__all__ = ["LanguageModel", "architectures", "train_wordpiece"]
