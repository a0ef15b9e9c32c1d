"""Begin without a checkpoint: learn a WordPiece vocabulary, and look up the sizes of networks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from ...models.language.architectures import ARCHITECTURES
from ...models.language.wordpiece import learn_wordpiece
from ...models.store.session_store import session_directory
from ...output_file import atomic_directory, new_directory
from ...validation import check_int
from .read_corpus import read_corpus

__all__ = ["architectures", "train_wordpiece"]


def train_wordpiece(
    texts: Iterable[Any] | os.PathLike[str],
    vocab_size: int = 8000,
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    min_frequency: int = 2,
    character_coverage: float = 0.9999,
    directory: str | Path | None = None,
) -> Path:
    """Learn a WordPiece vocabulary from texts, and write the tokenizer as BERT's.

    Parameters
    ----------
    texts : list, ndarray, Series, one-column DataFrame, other iterable, or Path
        Elements are str or missing. A `Path` is that of a text file in UTF-8, with a text in each
        line; it may be compressed. Generators and files are read once, one text at a time: memory
        grows with the number of distinct words only.
    vocab_size : int, default=8000
        Largest number of tokens, special ones and characters included. There are fewer where no
        other pieces occur ``min_frequency`` times.
    lowercase : bool, default=True
        Whether texts are lower-cased.
    strip_accents : bool or None, default=None
        Whether accents are removed. None does so if ``lowercase``, as BERT does.
    tokenize_chinese_chars : bool, default=True
        Whether each Chinese character is a word by itself.
    min_frequency : int, default=2
        How many times two neighbouring pieces must occur to be merged.
    character_coverage : float, default=0.9999
        Share of all characters of the texts, in (0, 1], that the most frequent characters must
        make up, as in SentencePiece. Words with others become ``[UNK]``; 1 keeps all characters.
    directory : str, Path or None, default=None
        A directory that does not exist, or is empty. None takes a new one, which is
        removed when the process ends.

    Returns
    -------
    directory : Path
        The directory of the tokenizer: for ``LanguageModel(tokenizer=...)`` and transformers'
        `AutoTokenizer`.

    Raises
    ------
    InvalidTextError
        If ``texts`` does not hold texts, or they hold no word.
    InvalidParameterError
        If a parameter is invalid, the vocabulary cannot hold the characters of the texts, or
        something is at ``directory``.
    StoreError
        If the directory cannot be written.

    See Also
    --------
    architectures : Sizes of networks that can be trained with the vocabulary.

    Notes
    -----
    Pieces are merged by their frequency, as the ``tokenizers`` library does it. The words of a new
    text are read from left to right, the longest known piece first. A word of known characters is
    never ``[UNK]``, unless it has more than 100: all characters are in the vocabulary, at the
    beginning of words and inside (``##a``).

    The same texts give the same files, byte for byte, in whatever order they stand, on any number
    of threads. The trainer of the library by itself breaks ties at random.

    References
    ----------
    Y. Wu et al., "Google's Neural Machine Translation System", 2016, section 4.1.

    Examples
    --------
    >>> from bertvectorizer import train_wordpiece
    >>> from transformers import AutoTokenizer
    >>> texts = ["bats are flying", "a bat was flying", "a bird was singing", "birds sing"]
    >>> directory = train_wordpiece(texts, vocab_size=60)
    >>> AutoTokenizer.from_pretrained(directory).tokenize("Bats singing, a bling")
    ['bat', '##s', 'sing', '##ing', '[UNK]', 'a', 'b', '##l', '##ing']
    """
    target = None if directory is None else new_directory(directory)
    tokenizer = learn_wordpiece(
        read_corpus(texts),
        vocab_size,
        lowercase=lowercase,
        strip_accents=strip_accents,
        tokenize_chinese_chars=tokenize_chinese_chars,
        min_frequency=min_frequency,
        character_coverage=character_coverage,
    )
    if target is None:
        target = session_directory(is_checked=True) / f"wordpiece-{uuid4().hex}"
    with atomic_directory(target) as draft:
        tokenizer.save_pretrained(draft)
    return target


def architectures(vocab_size: int | None = None) -> pd.DataFrame:
    """Return the sizes of the networks that ``LanguageModel(architecture=...)`` builds.

    Parameters
    ----------
    vocab_size : int or None, default=None
        Number of tokens that parameters are counted for. None takes the vocabulary of the paper:
        30,522 tokens, for "gpt" 40,478.

    Returns
    -------
    table : DataFrame of shape (n_architectures, 9)
        The index is the name; "bert-mini" may be written "mini". ``layers``, ``hidden_size``,
        ``heads`` and ``feed_forward_size`` are of the transformer, ``vocab_size`` and ``positions``
        of its embeddings. ``parameters`` counts those of transformers' network without a language
        head. ``objective`` is what it learns by default. ``reference`` is the paper.

    Raises
    ------
    InvalidParameterError
        If ``vocab_size`` is not a number of tokens.

    See Also
    --------
    train_wordpiece : Learn a vocabulary from texts.

    Notes
    -----
    The networks are those of transformers, `BertModel` and, for "gpt", `GPT2Model`. This has the
    layers of Radford et al. 2018, but normalizes before attention and feed-forward layers instead
    of after, and once more at the end (1,536 parameters); transformers' `OpenAIGPTModel` cannot be
    run on sequences without padding. It can be had by a dict: ``{"model_type": "openai-gpt"}``.
    "transformer" is the encoder of Vaswani et al. 2017 with BERT's embeddings: its positions are
    learned, which the paper finds as good as sines (Table 3, row E).

    References
    ----------
    J. Devlin, M. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional
    Transformers for Language Understanding", NAACL 2019, section 3.

    I. Turc, M. Chang, K. Lee, K. Toutanova, "Well-Read Students Learn Better: On the Importance of
    Pre-training Compact Models", 2019, Table 1.

    A. Vaswani et al., "Attention Is All You Need", NIPS 2017, section 3.

    A. Radford, K. Narasimhan, T. Salimans, I. Sutskever, "Improving Language Understanding by
    Generative Pre-Training", 2018, section 4.1.

    Examples
    --------
    >>> from bertvectorizer import architectures
    >>> architectures().loc["bert-base", ["layers", "hidden_size", "heads", "parameters"]].to_dict()
    {'layers': 12, 'hidden_size': 768, 'heads': 12, 'parameters': 109482240}
    >>> int(architectures(vocab_size=8000).loc["bert-mini", "parameters"])
    5404928
    """
    check_int("vocab_size", vocab_size, 1, optional=True)
    rows = {
        each.name: {
            "layers": each.layers,
            "hidden_size": each.hidden_size,
            "heads": each.heads,
            "feed_forward_size": each.feed_forward,
            "vocab_size": vocab_size or each.vocab_size,
            "positions": each.positions,
            "parameters": each.n_parameters(vocab_size),
            "objective": each.objective,
            "reference": each.reference,
        }
        for each in ARCHITECTURES.values()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
