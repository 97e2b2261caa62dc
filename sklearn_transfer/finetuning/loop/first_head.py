"""The head before any training: scales of features, a baseline, the fit of the probe phase."""

import time
from functools import partial

import torch

from sklearn_transfer.finetuning.freezing.probe import fit_head_to_part, validate_head
from sklearn_transfer.finetuning.loop.target import compute_baseline, has_linear_head


class FirstHead:
    """The head on the embeddings of the pretrained network.

    Parameters
    ----------
    network : Network
        With a head, and not trained yet.
    device : torch.device
        Where it is.
    inputs : BaseFitInputs
        Inputs of the network, which give its embeddings.
    parts : Parts
        Samples to train on, to validate on, and of a target domain.
    score : callable
        Score of outputs for the samples to validate on.

    Attributes
    ----------
    is_trained : bool
        Whether an earlier fit has trained the network, so that all this is known or gone.
    baseline : Baseline or None
        What the network gives without a training, where it is adapted to a target domain.
    """

    def __init__(self, network, device, inputs, parts, score):
        self.network, self.device = network, device
        self.inputs, self.parts, self.score = inputs, parts, score
        self.is_trained, self.baseline = False, None
        self._is_standardized = False

    def learn(self, criterion, train, prefix):
        """Learn the scale of features, and the baseline, each once.

        `train` are inputs of the rows to train on, from the `prefix` where there is one.
        """
        compares = self.parts.target is not None and self.baseline is None
        if self.is_trained or (self._is_standardized and not compares):
            return
        network = self.network
        features = self.inputs.embed(self.parts.train, train, network, prefix)
        self._standardize(features)
        if compares and has_linear_head(network):
            self.baseline = compute_baseline(
                network,
                criterion,
                self.parts,
                features,
                embed=partial(self.inputs.embed_fixed, network=network, prefix=prefix),
                score=self.score,
            )

    def fit(self, criterion, prefix):
        """Fit the head to the optimum of its loss; returns its entry in the history.

        The `prefix` is the whole body.
        """
        begin = time.perf_counter()
        train, valid = self.parts.train, self.parts.valid
        features = self.inputs.compute_activations(train, prefix)
        held_out = None
        if valid is not None:
            # Before the head is fitted, so that a bad sample raises its error at once.
            held_out = self.inputs.compute_activations(valid, prefix)
        self._standardize(features)
        head = self.network.head
        loss = fit_head_to_part(head, self._find_features(features), criterion, train)
        entry = {"train_loss": loss}
        if valid is not None:
            loss, outputs = validate_head(
                head, self._find_features(held_out), criterion, valid
            )
            entry |= {"valid_loss": loss, "valid_score": self.score(outputs)}
        return {**entry, "lr": 0.0, "dur": time.perf_counter() - begin}

    def _find_features(self, embeddings):
        """What the head gets of embeddings, as a tensor."""
        with torch.no_grad():
            embeddings = torch.from_numpy(embeddings).to(self.device)
            return self.network.finish(embeddings)[0]

    def _standardize(self, features):
        """Take the scale of features from the embeddings of the rows to train on."""
        if self._is_standardized:
            return
        weights = torch.as_tensor(self.parts.train.weights, dtype=torch.float32)
        features = torch.from_numpy(features).to(self.device)
        self.network.standardize(features, (weights / weights.sum()).to(self.device))
        self._is_standardized = True
