"""Spec of networks of texts."""

from dataclasses import dataclass

from sklearn_transfer._modalities.callers import find_caller
from sklearn_transfer._modalities.spec import Spec
from sklearn_transfer._modalities.text.reader import EXAMPLE_LENGTH, TextReader, TokenFormat
from sklearn_transfer._modalities.text.tokens import Tokenization
from sklearn_transfer._validation import format_list, shorten


@dataclass(frozen=True)
class TextSpec(Spec):
    """Input of a network of texts.

    Parameters
    ----------
    label : str
        What messages call the network.
    tokenizer : str
        JSON text that defines the tokenizer.
    padding : int, default=0
        Token that fills up the shorter texts of a batch.
    max_length : int or None, default=None
        Tokens for which the network is meant, special ones included; None for any number.
    n_positions : int or None, default=None
        Tokens that it takes at most; None for any number.
    prompts : tuple of (name, text), default=()
        Prompts that the network was trained with.
    prompt : str, default=""
        The text of the one that is used by default.
    lowercase : bool, default=False
        Whether texts are brought to lower case before they are divided into tokens.
    side : {"left", "right"}, default="right"
        The end at which long texts are cut.
    pools_prompt : bool, default=True
        Whether pooling takes the tokens of a prompt as it does those of the text.
    """

    label: str
    tokenizer: str
    padding: int = 0
    max_length: int | None = None
    n_positions: int | None = None
    prompts: tuple = ()
    prompt: str = ""
    lowercase: bool = False
    side: str = "right"
    pools_prompt: bool = True

    def reader(self, estimator):
        # Fine-tuners have no parameters of a modality.
        caller = find_caller(estimator)
        max_length = self._choose_max_length(getattr(estimator, "max_length", None), caller)
        long_text = getattr(estimator, "long_text", "truncate")
        prompt = self._choose_prompt(getattr(estimator, "prompt", None))
        settings = (max_length, long_text, prompt, self.lowercase, self.side, self.padding)
        tokenization = Tokenization(self.tokenizer, *settings, caller)
        limits = [n for n in (max_length, self.n_positions) if n is not None]
        n_known = tokenization.tokenizer.get_vocab_size()
        format = TokenFormat(self.padding, n_known, min([EXAMPLE_LENGTH, *limits]))
        may_grow = None in (max_length, self.n_positions) or max_length < self.n_positions
        return TextReader(tokenization, format, (self.tokenizer, *settings), may_grow)

    def _choose_max_length(self, max_length, caller):
        if max_length is None:
            return self.max_length
        if self.n_positions is not None and max_length > self.n_positions:
            windows = "long_text='windows'"
            hint = f"; use {windows} for longer texts" if caller.takes(windows) else ""
            raise ValueError(
                f"max_length={max_length}, but {self.label} takes {self.n_positions} tokens at"
                f" most{hint}"
            )
        return max_length

    def _choose_prompt(self, prompt):
        prompts = dict(self.prompts)
        text = self.prompt if prompt is None else prompts.get(prompt, prompt)
        if text and not self.pools_prompt:
            raise ValueError(
                f"prompt={shorten(text)}: {self.label} leaves the tokens of a prompt out of"
                " its pooling, which is not supported; pass prompt='' and texts without one."
                f" Its own prompts are {format_list(prompts)}"
            )
        return text
