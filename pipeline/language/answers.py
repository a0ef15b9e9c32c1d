"""What a language model answers: masked words, likelihoods, and whether a sentence follows."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.exceptions import NotFittedError

from ...errors import InvalidTextError, UnsupportedModelError
from ...features.inputs.frames import index_of, list_column, only_column, row_name
from ...features.inputs.texts import is_missing, is_stream, list_iterable, read_texts
from ...models import PairTokenizer, resolve_device
from ...models.checkpoint.text_tokens import load_tokenizer
from ...validation import check_choice, check_flag, check_int, invalid
from ...warning import warn_user
from ..fine_tuning.progress import TrainingBar
from .cloze import MaskedTexts, candidate_tokens, read_candidates
from .read_corpus import read_corpus, read_corpus_documents

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from ...models import Checkpoint
    from ...models.language.objectives import Objective
    from ...models.training.network import TrainableNetwork

__all__ = ["LanguageAnswers"]

_METHODS = ("auto", "masks", "pseudo")
_MANY_TOKENS = 2_000_000  # minutes, for a small model on a CPU


class LanguageAnswers:
    """The questions that `LanguageModel` answers, fitted or by the head of its checkpoint."""

    max_length: int | None
    missing: Literal["empty", "error"]
    device: Any
    verbose: bool
    objective_: Objective

    if TYPE_CHECKING:

        def _checkpoint(self) -> Checkpoint: ...
        def _objective(self, checkpoint: Checkpoint) -> Objective: ...
        def _reader(self, checkpoint: Checkpoint, objective: Objective) -> Any: ...
        def _is_elsewhere(self) -> bool: ...

    def fill_mask(self, X: Any, top_k: int = 5, targets: Any = None) -> pd.DataFrame:
        """Predict the tokens under masks.

        Parameters
        ----------
        X : str, or list, ndarray, Series, one-column DataFrame or other iterable of str
            Texts with one mask or more: that of the tokenizer, or "[MASK]". A text that is longer
            than the model reads is read around each mask.
        top_k : int, default=5
            Number of tokens for each mask, the most probable ones. Not used with ``targets``.
        targets : list of str or None, default=None
            Candidates, all of which are returned: the cloze test [1]_. Each must be one token of
            the model. None takes the whole vocabulary.

        Returns
        -------
        table : DataFrame
            A row for each token of each mask, the most probable first: ``token``; its
            ``probability`` among the whole vocabulary; with ``targets``, its ``share`` of the
            probability of all of them; and ``text``, with the token in it. Unless X is a str,
            ``row`` is the position of the text. ``mask`` is the number of the mask in its text,
            from 0 on; a single str with one mask does not have it.

        Raises
        ------
        InvalidTextError
            If X does not hold texts, or a text has no mask.
        InvalidParameterError
            If ``top_k`` is no number of tokens, or a candidate is not one token of the model.
        NotFittedError
            If the checkpoint has no head for masked words, and `fit` has not trained one.
        UnsupportedModelError
            If the model is a causal one.

        See Also
        --------
        log_likelihood : Compares candidates of several tokens, each in its text.

        Notes
        -----
        Each mask is predicted by itself, with the others still masked, as transformers' pipeline
        does: the tokens of several masks need not go together.

        References
        ----------
        .. [1] W. L. Taylor, "Cloze Procedure: A New Tool for Measuring Readability", Journalism
           Quarterly, 1953.

        Examples
        --------
        >>> from bertvectorizer import LanguageModel
        >>> texts = ["the bank raised its rate", "a bat flew over the river bank"] * 20
        >>> settings = {"vocab_size": 60, "learning_rate": 5e-3, "random_state": 0}
        >>> model = LanguageModel(architecture="bert-tiny", epochs=10, **settings).fit(texts)
        >>> model.fill_mask("a [MASK] flew over the river bank", targets=["bat", "rate"])["text"][0]
        'a bat flew over the river bank'
        >>> model.fill_mask(["the [MASK] raised its [MASK]"], top_k=1).columns.tolist()
        ['row', 'mask', 'token', 'probability', 'text']
        """
        from ...models.language.likelihood import SingleTokens, mask_probabilities
        from ...models.training.network import usual_torch

        top_k = check_int("top_k", top_k, 1)
        words = read_candidates(targets)
        is_single = isinstance(X, str)
        labels = index_of(X)
        texts = read_texts([X] if is_single else X, self.missing).texts
        checkpoint = self._checkpoint()
        if self._learned(checkpoint) == "causal":
            raise UnsupportedModelError(
                f"fill_mask needs a model of masked words, and {self._described(checkpoint)} is a"
                " causal one, which reads no token after the mask. Fill the candidates in, and"
                " compare the whole texts by log_likelihood(texts), or set objective='masked' and a"
                " model such as BERT."
            )
        reader, tokenizer = self._reader(checkpoint, "masked"), load_tokenizer(checkpoint)
        masked = MaskedTexts.of(texts, reader, tokenizer, lambda row: row_name(row, labels))
        candidates = None
        if words is not None:
            candidates = candidate_tokens(words, masked, reader, tokenizer)
        questions = SingleTokens(masked.corpus, reader, masked.places)
        device = self._device()
        with usual_torch(device):
            network = self._with_head(checkpoint, "masked", device)
            found = mask_probabilities(network, questions, top_k, candidates)
        table = masked.table(*found, tokenizer, words)
        if is_single:
            left_out = ["row", "mask"] if len(masked.rows) == 1 else ["row"]
            table = table.drop(columns=left_out)
        return table

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood of a token, in nats: greater is better.

        Parameters
        ----------
        X : list, ndarray, Series, one-column DataFrame, other iterable of str, or Path
            The texts, as in `fit`; a model of next sentences also takes documents.
        y : object, default=None
            Not used.

        Returns
        -------
        score : float
            Of a causal model, the mean over all tokens of the texts. Of others, the mean over
            masked tokens, one of seven of each text, under the same masks each time.

        Raises
        ------
        InvalidTextError
            If X does not hold texts, or no token to predict.
        NotFittedError
            If the checkpoint has no language head, and `fit` has not trained one.

        See Also
        --------
        log_likelihood : The same for each text.
        perplexity : Of causal models, ``exp(-score)``.

        Notes
        -----
        The masks are drawn from a fixed seed, whatever ``random_state`` and ``mask_probability``
        are, and depend on the number of tokens of a text alone. So models before and after a
        training compare, and so do two with the same tokenizer.

        Scores of models with different tokenizers do not compare, as their tokens are not the same.
        This includes a search over ``vocab_size``, and cross-validation where each `fit` learns a
        vocabulary of its own. There, give all the same one: ``tokenizer=train_wordpiece(texts)``.

        Special tokens and unknown words are not predicted. Unlike in `fit`, whose
        ``validation_scores_`` have 80 % masks, 10 % random tokens and 10 % that stay, all chosen
        tokens are masked.

        Examples
        --------
        >>> from bertvectorizer import LanguageModel
        >>> texts = ["the bank raised its rate", "a bat flew over the river bank"] * 20
        >>> settings = {"vocab_size": 60, "learning_rate": 5e-3, "random_state": 0}
        >>> model = LanguageModel(architecture="bert-tiny", epochs=2, **settings).fit(texts)
        >>> model.score(texts) < model.set_params(epochs=6).fit(texts).score(texts)
        True
        """
        sums, counts = self._likelihoods(X, "masks", first_alone=True)
        return -self._mean_loss(sums, counts)

    def log_likelihood(
        self, X: Any, method: Literal["auto", "masks", "pseudo"] = "auto"
    ) -> NDArray[np.float64]:
        """Return the log-likelihood of each text.

        Parameters
        ----------
        X : list, ndarray, Series, one-column DataFrame, other iterable of str, or Path
            The texts, as in `fit`; a model of next sentences also takes documents, whose sentences
            are read one by one.
        method : {"auto", "masks", "pseudo"}, default="auto"
            Of models of masked words, how tokens are masked. ``"pseudo"`` is the pseudo-likelihood
            [1]_: each token by itself, in a pass of its own. A text of 100 tokens so costs 100
            passes, and a warning tells where these are many. ``"masks"`` masks one of seven tokens
            at a time, in seven passes, and so gives lower sums. ``"auto"`` takes ``"pseudo"``. Of
            causal models, ``"auto"`` alone: each token from those before it, in one pass.

        Returns
        -------
        log_likelihood : ndarray of shape (n_texts,)
            Sum of the log-probabilities of the tokens, in nats; NaN for a text without a token to
            predict.

        Raises
        ------
        InvalidTextError
            If X does not hold texts.
        InvalidParameterError
            If ``method`` is none of the above.
        NotFittedError
            If the checkpoint has no language head, and `fit` has not trained one.

        See Also
        --------
        score : The mean over tokens of all texts, in one pass.
        perplexity : Of all texts.

        Notes
        -----
        Special tokens and unknown words are not predicted, nor is the first token of a text where
        the tokenizer of a causal model puts no special one before it. Sums are lower for longer
        texts: compare texts that differ in a word, or divide by the number of tokens.

        Texts that are longer than the model reads: ``"pseudo"`` reads the part of the text around
        each token, causal models read parts that overlap by half, and ``"masks"`` parts one after
        another. Every token is counted once.

        References
        ----------
        .. [1] J. Salazar, D. Liang, T. Q. Nguyen, K. Kirchhoff, "Masked Language Model Scoring",
           ACL 2020, section 2.

        Examples
        --------
        >>> from bertvectorizer import LanguageModel
        >>> texts = ["the bank raised its rate", "a bat flew over the river bank"] * 20
        >>> settings = {"vocab_size": 60, "learning_rate": 5e-3, "random_state": 0}
        >>> model = LanguageModel(architecture="bert-tiny", epochs=6, **settings).fit(texts)
        >>> values = model.log_likelihood(["the bank raised its rate", "its rate bank the raised"])
        >>> bool(values[0] > values[1])
        True
        """
        sums, counts = self._likelihoods(X, check_choice("method", method, _METHODS))
        return np.where(counts > 0, sums, np.nan)

    def perplexity(self, X: Any) -> float:
        """Return the perplexity of texts: less is better.

        Parameters
        ----------
        X : list, ndarray, Series, one-column DataFrame, other iterable of str, or Path
            The texts, as in `fit`; a model of next sentences also takes documents.

        Returns
        -------
        perplexity : float
            The exponential of the mean loss of a token, over all texts. Of models of masked words,
            it is the pseudo-perplexity [1]_, which has a pass for each token; ``exp(-score(X))``
            is a cheaper number of its kind.

        Raises
        ------
        InvalidTextError
            If X does not hold texts, or no token to predict.
        NotFittedError
            If the checkpoint has no language head, and `fit` has not trained one.

        See Also
        --------
        log_likelihood : Of each text; it tells which tokens count, and what long texts cost.

        Notes
        -----
        Pseudo-perplexities and perplexities do not compare, nor do those of models with different
        tokenizers.

        References
        ----------
        .. [1] J. Salazar, D. Liang, T. Q. Nguyen, K. Kirchhoff, "Masked Language Model Scoring",
           ACL 2020, section 2.

        Examples
        --------
        >>> from bertvectorizer import LanguageModel
        >>> texts = ["the bank raised its rate", "a bat flew over the river bank"] * 20
        >>> settings = {"vocab_size": 60, "learning_rate": 5e-3, "random_state": 0}
        >>> model = LanguageModel(architecture="bert-tiny", epochs=6, **settings).fit(texts)
        >>> 1 < model.perplexity(texts[:2]) < 60
        True
        """
        return float(np.exp(self._mean_loss(*self._likelihoods(X, "auto"))))

    def next_sentence_probability(self, a: Any, b: Any) -> NDArray[np.float64]:
        """Return the probability that each text of ``b`` follows the one of ``a``.

        Parameters
        ----------
        a, b : list, ndarray, Series, one-column DataFrame or other iterable of str
            As many texts each. Pairs that are longer than the model reads lose tokens of their
            longer text, and a warning tells how many.

        Returns
        -------
        probability : ndarray of shape (n_pairs,)
            As the head for the next sentence gives it.

        Raises
        ------
        InvalidTextError
            If ``a`` or ``b`` does not hold texts.
        InvalidParameterError
            If ``a`` and ``b`` have different lengths.
        NotFittedError
            If the checkpoint has no head for the next sentence, and there was no `fit`.
        UnsupportedModelError
            If the fitted model, or the architecture, has none.

        References
        ----------
        J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 3.1.

        Examples
        --------
        >>> from bertvectorizer import LanguageModel
        >>> documents = [["a bat flew", "it hung there"], ["the bank raised", "its rate"]] * 4
        >>> settings = {"architecture": "bert-tiny", "vocab_size": 60, "random_state": 0}
        >>> model = LanguageModel(objective="masked+next_sentence", **settings).fit(documents)
        >>> model.next_sentence_probability(["a bat flew"], ["it hung there"]).shape
        (1,)
        """
        from ...models.language.likelihood import next_sentence_probabilities
        from ...models.training.network import usual_torch

        first, second = (self._side(name, side) for name, side in (("a", a), ("b", b)))
        if len(first) != len(second):
            rule = f"as long as 'a', which has {len(first)} texts"
            raise invalid("b", rule, f"{len(second)} texts")
        checkpoint = self._checkpoint()
        device = self._device()
        with usual_torch(device):
            network = self._with_head(checkpoint, "masked+next_sentence", device)
            pairs = PairTokenizer(checkpoint, load_tokenizer(checkpoint), self.max_length)
            tokenized = pairs(first, second)
            if (lost := tokenized.truncation).n_truncated:
                warn_user(
                    f"{lost.n_truncated} of {lost.n_texts} pairs are longer than the model reads"
                    f" and lose {lost.share_lost:.1%} of all tokens."
                )
            if not first:
                return np.empty(0)
            return next_sentence_probabilities(network, tokenized)

    # --- what they share ---

    def _learned(self, checkpoint: Checkpoint) -> Objective:
        """Return the objective of `fit`; of a model that is not fitted, the one that it has."""
        fitted: Objective | None = getattr(self, "objective_", None)
        return fitted or self._objective(checkpoint)

    def _side(self, name: str, texts: Any) -> list[str]:
        """Return the texts of one side of pairs."""
        if isinstance(texts, (str, bytes)):
            rule = "a list of texts, or another column of them; [text] for a single one"
            raise invalid(name, rule, texts)
        try:
            return read_texts(texts, self.missing).texts
        except InvalidTextError as error:
            raise InvalidTextError(f"Of {name!r}, as X: {error}") from error

    def _described(self, checkpoint: Checkpoint) -> str:
        return f"{type(checkpoint.config).__name__} of '{checkpoint.directory}'"

    def _device(self) -> torch.device:
        """Return where the network runs; not where it was fitted, if this machine lacks that."""
        try:
            return resolve_device(self.device)
        except UnsupportedModelError as error:
            if not self._is_elsewhere():
                raise
            device = resolve_device(None)
            warn_user(f"{error} This fitted estimator runs on '{device}' instead.")
            return device

    def _with_head(
        self, checkpoint: Checkpoint, objective: Objective, device: torch.device
    ) -> TrainableNetwork:
        """Return the network with its head, or raise if no weights of this are known."""
        from ...models.language.network import load_language_network

        network = load_language_network(checkpoint, device, objective)
        if not network.new_weights:
            return network
        kind = {
            "masked": "masked words",
            "causal": "the next token",
            "masked+next_sentence": "the next sentence",
        }[objective]
        if hasattr(self, "checkpoint_files_"):
            raise UnsupportedModelError(
                f"This LanguageModel was fitted with objective={self.objective_!r}, and has no head"
                f" for {kind}. Set objective={objective!r}, and call fit(X) again."
            )
        raise NotFittedError(
            f"The checkpoint in '{checkpoint.directory}' has no trained head for {kind}. Train one:"
            f" set objective={objective!r} and call fit(X) first, or choose a checkpoint with one,"
            " such as 'bert-base-uncased'."
        )

    def _likelihoods(
        self, X: Any, method: str, *, first_alone: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the log-likelihood of each row, and how many tokens it is of."""
        from ...models.language.corpus import Corpus
        from ...models.language.likelihood import (
            MaskedGroups,
            NextTokens,
            SingleTokens,
            log_likelihoods,
        )
        from ...models.language.masking import Masking
        from ...models.training.network import usual_torch

        check_flag("verbose", self.verbose)
        checkpoint = self._checkpoint()
        objective = self._learned(checkpoint)
        unit: Objective = "causal" if objective == "causal" else "masked"
        if unit == "causal" and method != "auto" and not first_alone:
            rule = "'auto' for a causal model, whose likelihood needs no masks"
            raise invalid("method", rule, method)
        reader = self._reader(checkpoint, unit)
        device = self._device()
        with usual_torch(device):
            network = self._with_head(checkpoint, unit, device)
            corpus = Corpus(reader, self._rows(X, objective))
            questions: Any
            if unit == "causal":
                questions = NextTokens(corpus, reader)
            else:
                Masking.of(reader)  # raises without a mask
                if method == "masks":
                    questions = MaskedGroups(corpus, reader, first_alone)
                else:
                    questions = SingleTokens(corpus, reader)
            n_tokens = int(questions.n_tokens.sum())
            if isinstance(questions, SingleTokens) and n_tokens > _MANY_TOKENS:
                warn_user(
                    f"The pseudo-likelihood reads a sequence for each of {len(questions):,} tokens,"
                    f" {n_tokens:,} tokens in all. Give fewer texts, or choose"
                    " log_likelihood(X, method='masks') with seven sequences for each text, or"
                    " score(X) with one."
                )
            with TrainingBar(type(self).__name__, n_tokens, self.verbose) as bar:
                found = log_likelihoods(network, questions, corpus.n_texts, bar.step)
        # Of each row: a text, or all sentences of a document.
        rows = np.repeat(np.arange(corpus.n_documents), np.diff(corpus.documents))
        sums, counts = (np.bincount(rows, each, corpus.n_documents) for each in found)
        return sums.astype(np.float64), counts.astype(np.int64)

    def _rows(self, X: Any, objective: Objective) -> Any:
        """Return the texts of X; documents, too, of a model of next sentences."""
        if objective != "masked+next_sentence":
            return read_corpus(X, self.missing)
        is_whole = not is_stream(X)
        if is_whole:
            column = only_column(X, "X must be one column of texts, or documents.", "Choose one.")
            values, _ = list_column(column) or (list_iterable(column) or [], None)
        else:
            values = X = iter(X)
        begin = []
        for value in values:
            begin.append(value)
            if not is_missing(value):
                break
        if not is_whole:
            X = chain(begin, X)
        first = begin[-1] if begin else None
        is_document = isinstance(first, (list, tuple, np.ndarray))
        return (read_corpus_documents if is_document else read_corpus)(X, self.missing)

    @staticmethod
    def _mean_loss(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
        """Return the mean negative log-likelihood of a token."""
        if not counts.sum():
            raise InvalidTextError(
                f"X must have a token to predict. Got {len(counts)} text(s), and none of this kind:"
                " special tokens and unknown words are not predicted. Add texts."
            )
        return float(-sums.sum() / counts.sum())
