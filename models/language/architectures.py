"""Sizes of the networks of papers, and configurations of transformers with these or other sizes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ...errors import InvalidParameterError
from ...foreign import foreign_errors_as
from ...validation import check_choice, check_int, invalid, short_repr
from ..checkpoint.description import first_position, importing, quiet_messages

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

__all__ = ["ARCHITECTURES", "Architecture", "find_architecture", "make_config"]

_DEVLIN = "Devlin et al. 2019"
_TURC = "Turc et al. 2019"
_BERT_VOCABULARY, _GPT_VOCABULARY = 30_522, 40_478
_POSITIONS = 512
_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
_MOST = dict.fromkeys((*_SIZES, "max_position_embeddings"), 1 << 24) | {
    "num_hidden_layers": 1 << 12  # as in a checkpoint that is read
}
_MOST_PARAMETERS = 1 << 34
_ROLES = ("pad", "bos", "eos", "cls", "sep", "mask")


@dataclass(frozen=True)
class Architecture:
    """The sizes of a network of a paper."""

    name: str
    layers: int
    hidden_size: int
    heads: int
    feed_forward: int
    reference: str
    objective: str = "masked"
    vocab_size: int = _BERT_VOCABULARY
    positions: int = _POSITIONS

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in which a configuration of transformers differs from the default one."""
        sizes = (self.layers, self.hidden_size, self.heads, self.feed_forward)
        settings: dict[str, Any] = dict(zip(_SIZES, sizes, strict=True))
        if self.objective == "causal":
            settings["model_type"] = "gpt2"
            settings["n_inner"] = settings.pop("intermediate_size")
        elif self.name == "transformer":
            settings["hidden_act"] = "relu"
        return settings

    def n_parameters(self, vocab_size: int | None = None) -> int:
        """Return the number of parameters that transformers' model without a head has."""
        width, inner = self.hidden_size, self.feed_forward
        norm = 2 * width
        attention = 4 * (width * width + width)
        feed_forward = 2 * width * inner + inner + width
        layers = self.layers * (attention + feed_forward + 2 * norm)
        rows = (vocab_size or self.vocab_size) + self.positions
        if self.objective == "causal":
            return rows * width + layers + norm
        # BERT has two rows for the parts of a pair, and a layer behind [CLS], the pooler.
        return (rows + 2) * width + norm + layers + width * width + width


ARCHITECTURES = {
    each.name: each
    for each in (
        Architecture("bert-tiny", 2, 128, 2, 512, _TURC),
        Architecture("bert-mini", 4, 256, 4, 1024, _TURC),
        Architecture("bert-small", 4, 512, 8, 2048, _TURC),
        Architecture("bert-medium", 8, 512, 8, 2048, _TURC),
        Architecture("bert-base", 12, 768, 12, 3072, _DEVLIN),
        Architecture("bert-large", 24, 1024, 16, 4096, _DEVLIN),
        Architecture("transformer", 6, 512, 8, 2048, "Vaswani et al. 2017"),
        Architecture(
            "gpt", 12, 768, 12, 3072, "Radford et al. 2018", "causal", vocab_size=_GPT_VOCABULARY
        ),
    )
}


def find_architecture(name: Any) -> Architecture:
    """Return the architecture of a name; BERT's may do without "bert-".

    >>> find_architecture("mini").name
    'bert-mini'
    """
    if isinstance(name, str):
        for each in (name, f"bert-{name}"):
            if each in ARCHITECTURES:
                return ARCHITECTURES[each]
    names = ", ".join(map(repr, ARCHITECTURES))
    rule = f"one of {names}, or a dict of settings of a transformers configuration"
    raise invalid("architecture", rule, name)


def make_config(
    architecture: str | Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    objective: str = "auto",
    max_length: int | None = None,
) -> PreTrainedConfig:
    """Return a transformers configuration for a network that reads the tokens of a tokenizer.

    Parameters
    ----------
    architecture : str or mapping of str to object
        A name of `ARCHITECTURES`, or settings of the configuration of a ``model_type``, by default
        "bert". Those that are left out are transformers' own. The vocabulary, the ids of special
        tokens, labels and versions are not read.
    tokenizer : PreTrainedTokenizerBase
        Sets the vocabulary and the ids of special tokens.
    objective : {"auto", "masked", "masked+next_sentence", "causal"}, default="auto"
        What the network is to learn. ``"auto"`` follows the architecture.
    max_length : int or None, default=None
        Number of positions. None takes that of the settings, or 512.

    Returns
    -------
    config : PreTrainedConfig
        The configuration. Its ``architectures`` names the class with the head of the objective.

    Raises
    ------
    InvalidParameterError
        If a parameter is invalid, a setting is unknown, or no network can be built.
    """
    if isinstance(architecture, Mapping):
        settings = dict(architecture)
    else:
        settings = find_architecture(architecture).settings
    check_int("max_length", max_length, 3, optional=True)
    with importing:
        import torch
        import transformers

        from ..training.heads import LANGUAGE

    check_choice("objective", objective, ("auto", *LANGUAGE))
    model_type = settings.pop("model_type", "bert")
    if model_type not in list(transformers.CONFIG_MAPPING):
        raise _invalid_setting("model_type", "one that transformers knows", model_type)
    kind = transformers.CONFIG_MAPPING[model_type]
    fault = f"transformers builds no network of the 'architecture' {short_repr(architecture, 200)}"
    with (
        foreign_errors_as(InvalidParameterError, fault, "Correct that setting, or leave it out."),
        quiet_messages(),
    ):
        default = kind()
        given = _known_settings(settings, default)
        given |= _token_settings(tokenizer, default)
        length = kind.attribute_map.get("max_position_embeddings", "max_position_embeddings")
        first = first_position(model_type, tokenizer.pad_token_id)
        if hasattr(default, length):
            given.setdefault(length, (max_length or _POSITIONS) + first)
        config = kind(**given)
        for name, most in _MOST.items():
            value = getattr(config, name, None)
            if value is not None and not (type(value) is int and 1 <= value <= most):
                own_name = kind.attribute_map.get(name, name)
                raise _invalid_setting(own_name, f"an int in the range [1, {most}]", value)
        if max_length is not None and max_length > given.get(length, max_length + first) - first:
            rule = f"at most {given[length] - first}, by {length!r} of 'architecture'"
            raise invalid("max_length", rule, max_length)
        auto_class = _auto_class(config, objective)
        with torch.device("meta"):
            network = auto_class.from_config(deepcopy(config))
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        if n_parameters > _MOST_PARAMETERS:
            raise InvalidParameterError(
                "The 'architecture' parameter must give a network of at most"
                f" {_MOST_PARAMETERS:,} parameters. Got one of {n_parameters:,}. Choose a smaller"
                " one."
            )
    config.architectures = [type(network).__name__]
    return config


def _known_settings(settings: dict[str, Any], default: PreTrainedConfig) -> dict[str, Any]:
    """Return the settings that shape a network, by the names of its configuration."""
    from transformers import PreTrainedConfig

    common = {*PreTrainedConfig().to_dict(), "vocab_size"}
    ignored = {name for name in default.to_dict() if name in common or name.endswith("_token_id")}
    known = [name for name in default.to_dict() if name not in ignored]
    found = {}
    for name, value in settings.items():
        own_name = default.attribute_map.get(name, name)
        if own_name in known:
            found[own_name] = value
        elif own_name not in ignored:
            names = [*default.attribute_map, *known]
            close = get_close_matches(str(name), names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" They are {', '.join(known)}."
            raise InvalidParameterError(
                "The 'architecture' parameter must hold settings of"
                f" {type(default).__name__}. Got {short_repr(name)}, which is none.{hint}"
            )
    return found


def _token_settings(tokenizer: PreTrainedTokenizerBase, default: Any) -> dict[str, Any]:
    """Return the settings that follow from a tokenizer; [CLS] begins a text, and [SEP] ends it."""
    ids = {role: getattr(tokenizer, f"{role}_token_id") for role in _ROLES}
    ids["bos"] = ids["cls"] if ids["bos"] is None else ids["bos"]
    ids["eos"] = ids["sep"] if ids["eos"] is None else ids["eos"]
    found = {f"{role}_token_id": number for role, number in ids.items()}
    return {"vocab_size": len(tokenizer)} | {
        name: number for name, number in found.items() if hasattr(default, name)
    }


def _auto_class(config: Any, objective: str) -> Any:
    """Return the class that builds a network with the head of an objective."""
    from transformers import MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING

    from ..training.heads import LANGUAGE, class_with_head

    fit: list[Any] = [each for each in LANGUAGE if class_with_head(each, config)]
    # Most networks that may read to the left only have heads for both.
    is_causal = "masked" not in fit or getattr(config, "is_decoder", False)
    fit = [each for each in fit if (each == "causal") == is_causal]
    if type(config) not in MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING:
        fit = [each for each in fit if each != "masked+next_sentence"]
    if not fit:
        rule = "that of a network with a language head, and without a decoder"
        raise _invalid_setting("model_type", rule, config.model_type)
    if objective not in ("auto", *fit):
        names = ", ".join(map(repr, fit))
        rule = f"one that suits the architecture ({config.model_type}): 'auto', {names}"
        raise invalid("objective", rule, objective)
    chosen: Any = fit[0] if objective == "auto" else objective
    return class_with_head(chosen, config)


def _invalid_setting(name: str, rule: str, value: object) -> InvalidParameterError:
    return InvalidParameterError(
        f"The 'architecture' parameter must have as {name!r} {rule}. Got {short_repr(value)}"
        " instead."
    )
