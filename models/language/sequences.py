"""Token sequences of a corpus: windows of its texts, and pairs of segments of its documents."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidTextError
from ..ragged import ranges
from ..training.examples import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.pair_tokens import PairTokenizer
    from ..checkpoint.text_tokens import ModelTokenizer, TextTokenizer
    from .corpus import Corpus

__all__ = [
    "SegmentPairs",
    "Sequences",
    "TextBatch",
    "TextSequences",
    "pieces",
    "sequence_generator",
]

_OF_PAIRS = 1  # what is drawn beside the masks of the same sequence


@dataclass(frozen=True)
class TextBatch(Batch):
    """Token sequences of some examples, and what masking has to know of their tokens.

    Parameters
    ----------
    is_special : ndarray of shape (n_tokens,)
        Whether each token is a special one, such as that for unknown words.
    starts_word : ndarray of shape (n_tokens,)
        Whether each token begins a word. What is left of a word at the start of a sequence is one,
        and each special token is one.
    """

    is_special: NDArray[np.bool_]
    starts_word: NDArray[np.bool_]


def sequence_generator(seed: int, epoch: int, sequence: int, *purpose: int) -> np.random.Generator:
    """Return the random numbers of a sequence in an epoch: the same ones in whatever batch."""
    return np.random.default_rng((seed, epoch, sequence, *purpose))


def pieces(
    corpus: Corpus, texts: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut texts into pieces of up to ``longest`` tokens, one after the other.

    Return where each begins and ends, of shape (2, n_pieces), and the number of pieces of each
    text: 0 if it has no tokens.
    """
    starts, stops = corpus.offsets[texts], corpus.offsets[texts + 1]
    n_pieces = -((starts - stops) // longest)
    begins = np.repeat(starts, n_pieces) + longest * ranges(np.zeros_like(n_pieces), n_pieces)
    ends = np.minimum(begins + longest, np.repeat(stops, n_pieces))
    return np.stack([begins, ends]), n_pieces


def _below(ends: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a number from 0 on and below each end, from draws in [0, 1)."""
    return (draws * ends).astype(np.int64)


class Sequences:
    """Sequences of one or two parts of a corpus, and special tokens around and between them.

    Part *j* of sequence *i* has the tokens ``starts[i, j]:starts[i, j] + counts[i, j]``.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: ModelTokenizer,
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        self._corpus, self._tokenizer = corpus, tokenizer
        self._starts, self._counts = starts, counts

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each sequence, special ones included, of shape (n_sequences,)."""
        n_tokens: NDArray[np.int64] = self._counts.sum(axis=1) + sum(
            map(len, self._tokenizer.special)
        )
        return n_tokens

    def __len__(self) -> int:
        return len(self._counts)

    def batch(self, rows: NDArray[np.int64]) -> TextBatch:
        """Return some sequences."""
        special = self._tokenizer.special
        n_special = sum(map(len, special))
        lengths = self._counts[rows].sum(axis=1) + n_special
        order = np.argsort(-lengths, kind="stable")
        sequences, lengths = rows[order], lengths[order]
        starts, counts = self._starts[sequences], self._counts[sequences]
        ids = np.empty(lengths.sum(), dtype=np.int32)
        starts_word = np.ones(len(ids), dtype=bool)
        place = np.cumsum(lengths) - lengths  # in the batch, of what comes next in each sequence
        for part, tokens in enumerate(special):
            if tokens:
                ids[place[:, None] + np.arange(len(tokens))] = tokens
                place = place + len(tokens)
            if part == counts.shape[1]:
                break
            count = counts[:, part]
            read, written = ranges(starts[:, part], count), ranges(place, count)
            ids[written] = self._corpus.ids[read]
            starts_word[written] = self._corpus.starts_word[read]
            starts_word[place[count > 0]] = True
            place = place + count
        is_special = self._tokenizer.is_special[ids]
        return TextBatch(
            sequences=sequences,
            ids=ids,
            types=self._types(counts),
            lengths=lengths,
            owners=order,
            shares=np.ones(len(rows), dtype=np.float32),
            words=None,
            is_special=is_special,
            starts_word=starts_word | is_special,
        )

    def _types(self, counts: NDArray[np.int64]) -> NDArray[np.int32] | None:
        """Return the token types of sequences, None for 0."""
        return None


class TextSequences(Sequences):
    """Each text as a sequence, or as windows one after the other if it is longer than the model.

    Texts without tokens have none.

    Parameters
    ----------
    corpus : Corpus
        The texts.
    tokenizer : TextTokenizer
        Its special tokens and its length.
    texts : ndarray of shape (n_chosen,) or None, default=None
        Which texts; None takes all.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: TextTokenizer, texts: NDArray[np.int64] | None = None
    ) -> None:
        chosen = np.arange(corpus.n_texts) if texts is None else texts
        (begins, ends), _ = pieces(corpus, chosen, tokenizer.room)
        super().__init__(corpus, tokenizer, begins[:, None], (ends - begins)[:, None])

    def draw(self, epoch: int) -> None:
        """Begin an epoch; the sequences are the same in each."""


class SegmentPairs(Sequences):
    """Pairs of segments for the prediction of the next sentence, drawn anew for each epoch [1]_.

    Each document is cut into chunks: consecutive sentences that fill a sequence, two at least. In
    each epoch, a chunk is split between two of its sentences. The second segment is the rest of the
    chunk or, with a probability of one half, sentences from a random place in another document. The
    longer of two segments loses tokens, from its start and its end, until both fit. Sentences that
    are longer than half a sequence are cut before, so that no text is lost.

    Documents of one sentence give no pairs, but may be the other document.

    Parameters
    ----------
    corpus : Corpus
        The documents.
    tokenizer : PairTokenizer
        Its special tokens, token types and length.
    seed : int
        Of the draws.
    documents : ndarray of shape (n_chosen,) or None, default=None
        Which documents; None takes all.

    Raises
    ------
    InvalidTextError
        If there are fewer than two documents with tokens, or none has two sentences with tokens.

    References
    ----------
    .. [1] J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
       Understanding", NAACL 2019, section 3.1 and appendix A.2.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: PairTokenizer,
        seed: int,
        documents: NDArray[np.int64] | None = None,
    ) -> None:
        self._pairs, self._seed = tokenizer, seed
        chosen = np.arange(corpus.n_documents) if documents is None else np.unique(documents)
        first, n_texts = corpus.documents[chosen], np.diff(corpus.documents)[chosen]
        # Half of the room at most, so that two sentences fit and nothing is lost of long ones.
        found, n_pieces = pieces(corpus, ranges(first, n_texts), max(tokenizer.room // 2, 1))
        self._begins, self._ends = found
        owners = np.repeat(np.repeat(np.arange(len(chosen)), n_texts), n_pieces)
        counts = np.bincount(owners)
        self._first = np.concatenate([[0], np.cumsum(counts[counts > 0])])
        n_documents = len(self._first) - 1
        if n_documents < 2:
            raise InvalidTextError(
                "Sentences that do not follow are drawn from other documents, so that there must be"
                f" two documents or more. Got {n_documents} with tokens. Give each document as a"
                " list of its sentences, and the documents as a list; in a file, blank lines"
                " separate them."
            )
        self._chunks = self._all_chunks()
        if not len(self._chunks):
            raise InvalidTextError(
                "A document must have two sentences or more, so that one of them follows another."
                f" Got {n_documents} documents of one sentence. Split them into sentences or"
                " paragraphs, [text.splitlines() for text in texts], or choose objective='masked'."
            )
        shape = (len(self._chunks), 2)
        super().__init__(corpus, tokenizer, np.zeros(shape, np.int64), np.zeros(shape, np.int64))
        self.draw(0)

    def _all_chunks(self) -> NDArray[np.int64]:
        """Return the document, first sentence and last sentence + 1 of each chunk."""
        chunks = []
        for document, (first, end) in enumerate(pairwise(self._first.tolist())):
            stop = first
            while stop < end and end - first > 1:
                start = min(stop, end - 2)  # the last sentence has a neighbour, too
                limit = self._begins[start] + self._pairs.room
                stop = start + 1 + int(np.searchsorted(self._ends[start:end], limit))
                stop = min(max(stop, start + 2), end)
                chunks.append((document, start, stop))
        return np.array(chunks, dtype=np.int64).reshape(-1, 3)

    def draw(self, epoch: int) -> None:
        """Begin an epoch: draw where each chunk is split, and what follows."""
        drawn = [
            sequence_generator(self._seed, epoch, row, _OF_PAIRS).random(6)
            for row in range(len(self._chunks))
        ]
        at, follows, which, begin, *cuts = np.array(drawn).T
        room = self._pairs.room
        document, start, stop = self._chunks.T
        split = start + 1 + _below(stop - start - 1, at)
        self._labels = (follows < 0.5).astype(np.int64)
        # Sentences of another document that fill the rest of a sequence.
        other = _below(np.full_like(start, len(self._first) - 2), which)
        other += other >= document
        end_of_other = self._first[other + 1]
        random = self._first[other] + _below(end_of_other - self._first[other], begin)
        n_first = self._ends[split - 1] - self._begins[start]
        limit = self._begins[random] + np.maximum(room - n_first, 1)
        last = np.minimum(np.searchsorted(self._ends, limit), end_of_other - 1)
        is_random = self._labels == 1
        starts = np.stack([start, np.where(is_random, random, split)], axis=1)
        lasts = np.stack([split - 1, np.where(is_random, last, stop - 1)], axis=1)
        begins, counts = self._begins[starts], self._ends[lasts] - self._begins[starts]
        # The longer of both is cut, and both to one length if none is short.
        longest = np.maximum(room - counts.min(axis=1), (room + 1) // 2)
        kept = np.minimum(counts, longest[:, None])
        kept[:, 1] = np.minimum(kept[:, 1], room - kept[:, 0])
        self._starts = begins + _below(counts - kept + 1, np.stack(cuts, axis=1))
        self._counts = kept

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return 0 for pairs whose second segment is the next one, 1 for others."""
        labels: NDArray[np.int64] = self._labels[rows]
        return labels

    def _types(self, counts: NDArray[np.int64]) -> NDArray[np.int32] | None:
        return self._pairs.types_of(counts)
