"""WordPiece vocabularies, learned from texts by the ``tokenizers`` library, always the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import InvalidTextError
from ...validation import check_flag, check_int, check_number, invalid
from ..checkpoint.description import importing
from ..checkpoint.text_tokens import replace_lone_surrogates

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["learn_wordpiece"]

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_INSIDE = "##"
_LONGEST_WORD = 100  # WordPiece reads longer ones as [UNK]
_WORDS_A_BLOCK = 1000
_CHARACTERS_AT_ONCE = 1 << 23


def learn_wordpiece(
    texts: Iterable[str],
    vocab_size: int = 8000,
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    min_frequency: int = 2,
    character_coverage: float = 0.9999,
) -> PreTrainedTokenizerBase:
    """Return a tokenizer like BERT's with a vocabulary of the texts, which are read once.

    The parameters are those of `bertvectorizer.train_wordpiece`. Memory grows with the number of
    distinct words.

    >>> learn_wordpiece(["a bat", "a bath"], 30).tokenize("A BATH hat")
    ['a', 'bat', '##h', 'h', '##a', '##t']
    """
    check_int("vocab_size", vocab_size, len(_SPECIAL) + 1)
    check_int("min_frequency", min_frequency, 1)
    check_number("character_coverage", character_coverage, "(0, 1]")
    flags = {
        "do_lower_case": check_flag("lowercase", lowercase),
        "strip_accents": (
            None if strip_accents is None else check_flag("strip_accents", strip_accents)
        ),
        "tokenize_chinese_chars": check_flag("tokenize_chinese_chars", tokenize_chinese_chars),
    }
    with importing:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
        from transformers import BertTokenizer

    words = _count_words(texts, BertTokenizer(**flags).backend_tokenizer)
    characters = _frequent_characters(words, character_coverage)
    # With both forms of each of its characters, a word is never [UNK].
    in_words = {character for word in words if len(word) > 1 for character in word}
    inside = [_INSIDE + character for character in characters if character in in_words]
    n_least = len(_SPECIAL) + len(characters) + len(inside)
    if vocab_size < n_least:
        raise invalid(
            "vocab_size",
            f"at least {n_least:,} for these texts: {len(_SPECIAL)} special tokens,"
            f" {len(characters):,} characters and {len(inside):,} characters inside words; or"
            " lower 'character_coverage'",
            vocab_size,
        )
    # The trainer numbers the characters inside words in the order of a hash table, and breaks ties
    # by number. As "special tokens" they have their numbers beforehand. It takes memory for the
    # whole ``vocab_size``, however few pieces the words can have: one more for each of their
    # characters at most. What is too much ends the process.
    trainer = trainers.WordPieceTrainer(
        vocab_size=min(vocab_size, n_least + sum(map(len, words))),
        min_frequency=min_frequency,
        show_progress=False,
        special_tokens=[*_SPECIAL, *characters, *inside],
        initial_alphabet=characters,
        limit_alphabet=len(characters),
    )
    counted = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    counted.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    counted.train_from_iterator(_blocks(words, set(characters)), trainer)
    tokenizer: PreTrainedTokenizerBase = BertTokenizer(vocab=counted.get_vocab(), **flags)
    return tokenizer


def _count_words(texts: Iterable[str], rules: Any) -> Counter[str]:
    """Count words by the rules of a tokenizer, each distinct run between spaces once."""
    words: Counter[str] = Counter()
    for runs in _runs(texts):
        for run, count in runs.items():
            normalized = rules.normalizer.normalize_str(replace_lone_surrogates(run))
            for word, _ in rules.pre_tokenizer.pre_tokenize_str(normalized):
                if len(word) <= _LONGEST_WORD:
                    words[word] += count
    if not words:
        raise InvalidTextError(
            "The texts must hold at least one word to learn a vocabulary from. Got none, or none of"
            f" up to {_LONGEST_WORD} characters. Give texts that are not empty."
        )
    return words


def _runs(texts: Iterable[str]) -> Iterator[Counter[str]]:
    """Yield the runs between spaces, counted in parts: without spaces each run is another one."""
    runs: Counter[str] = Counter()
    n_characters = 0
    for text in texts:
        runs.update(text.split(" "))
        n_characters += len(text)
        if n_characters >= _CHARACTERS_AT_ONCE:
            yield runs
            runs, n_characters = Counter(), 0
    yield runs


def _frequent_characters(words: Counter[str], coverage: float) -> list[str]:
    """Return the most frequent characters that make up a share of all, sorted."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    wanted, found, kept = coverage * counts.total(), 0, []
    for character in sorted(counts, key=lambda each: (-counts[each], each)):
        if found >= wanted:
            break
        found += counts[character]
        kept.append(character)
    return sorted(kept)


def _blocks(words: Counter[str], characters: set[str]) -> Iterator[str]:
    """Yield each word as often as it was counted, but for those that will be [UNK]."""
    for word in sorted(words):
        if characters.issuperset(word):
            for start in range(0, words[word], _WORDS_A_BLOCK):
                yield " ".join([word] * min(_WORDS_A_BLOCK, words[word] - start))
