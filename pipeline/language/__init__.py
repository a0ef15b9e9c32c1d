"""Language models as estimators: `read_corpus` reads their texts.

`from_nothing` learns vocabularies and shows the sizes of networks.
"""

from __future__ import annotations
