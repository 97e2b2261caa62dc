"""Outputs of a trained network: features, and the numbers that predictions are made from."""

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._process.threads import run_here
from sklearn_transfer._validation import check_feature_names_in

# Samples whose activations are in memory at once while predicting.
_KNOWN_ROWS = 1000


class NetworkOutputs(TransformerMixin):
    """Mixin of fine-tuners that run their trained network on samples."""

    def transform(self, X):
        """Fine-tuned features: what the head gets.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            One row per sample.
        """
        return self._run_network(X, "embedding")

    def get_feature_names_out(self, input_features=None):
        """Names of the fine-tuned features: "embedding_0", "embedding_1", ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`, if there were any.

        Returns
        -------
        names : ndarray of str objects of shape (n_features,)
            One name per column of `transform`.
        """
        check_is_fitted(self, "history_")
        check_feature_names_in(self, input_features)
        names = [f"embedding_{i}" for i in range(self._network.feature_width)]
        return np.asarray(names, dtype=object)

    def _compute_outputs(self, X):
        """Outputs of the network in float64, (n_samples, n_outputs)."""
        return self._run_network(X, "logits").astype(np.float64)

    def _run_network(self, X, kind):
        """Matrix (n_samples, ...) of "logits" or "embedding" of the trained network."""
        check_is_fitted(self, "history_")
        samples = self._check_samples(X, reset=False)
        if self._prefix is not None:
            return self._run_from_prefix(samples, kind, self._prefix)
        if self._network.columns is not None:
            from sklearn_transfer.finetuning.freezing.columns import make_no_prefix

            return self._run_from_prefix(samples, kind, make_no_prefix(self._backbone))
        from sklearn_transfer._networks.taps import Tap
        from sklearn_transfer._store.base import NullStore
        from sklearn_transfer.extraction._loop import Extraction, PassOptions, count_threads

        reader = self._make_reader(self._backbone)
        taps = [Tap(kind, "", "auto", kind)]
        options = PassOptions(engine="torch", n_threads=count_threads(self.n_jobs))
        extraction = Extraction(samples, reader, NullStore(), self._backbone, taps, options)
        return extraction.run().output

    def _run_from_prefix(self, samples, kind, prefix):
        """The same from activations of the frozen prefix, which may be known already."""
        outputs = []
        for start in range(0, len(samples), _KNOWN_ROWS):

            def label_row(row, start=start):
                return f"row {start + row}"

            chunk = samples[start : start + _KNOWN_ROWS]
            known = prefix.compute_known(self, chunk, label_row)
            outputs.append(run_here(prefix.compute_outputs, self._network, known, kind))
        return np.concatenate(outputs)
