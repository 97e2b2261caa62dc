"""Callbacks of scikit-learn, set on a search or Pipeline around estimators of this package."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    CORAL,
    KMM,
    AutoencoderFeatures,
    FineTunedClassifier,
    ImportanceWeighted,
    PretrainedFeatures,
    PrototypeClassifier,
    TargetDomain,
    ZeroShotClassifier,
    make_multimodal_pipeline,
)
from tests import small_networks

pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")

Y = np.array([0, 1] * 6)
TABLE = np.random.default_rng(0).normal(size=(12, 3)) + Y[:, None]
TARGET = TargetDomain(TABLE[:5] + 1)


class Counting:
    """Callback for all depths that counts the tasks of which it is notified."""

    max_propagation_depth = None

    def __init__(self):
        self.n_begun = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.n_begun += 1

    def on_fit_task_end(self, estimator, context):
        pass


def tuner():
    return FineTunedClassifier(
        small_networks.perceptron, preprocess=None, freeze=None, max_epochs=1
    )


MODELS = {
    "fine-tuning": (tuner(), {}),
    "prototypes": (PrototypeClassifier(), {}),
    "zero shot": (ZeroShotClassifier(), {"attributes": {0: [0.0], 1: [1.0]}}),
    "features": (
        make_pipeline(
            PretrainedFeatures(small_networks.mlp, preprocess=None), LogisticRegression()
        ),
        {},
    ),
    "table": (make_multimodal_pipeline(LogisticRegression()), {}),
    "autoencoder": (
        make_pipeline(
            AutoencoderFeatures(2, max_epochs=1, preprocess=None), LogisticRegression()
        ),
        {},
    ),
    "alignment": (
        Pipeline([("scale", StandardScaler()), ("a", CORAL()), ("c", LogisticRegression())]),
        {"a__X_target": TARGET},
    ),
    "weights": (ImportanceWeighted(LogisticRegression(), KMM()), {"X_target": TARGET}),
}


@pytest.mark.parametrize(("model", "params"), MODELS.values(), ids=MODELS)
def test_a_search_with_callbacks_does_not_warn(model, params):
    callback = Counting()
    search = GridSearchCV(model, {}, cv=2).set_callbacks(callback)
    search.fit(TABLE, Y, **params)
    assert callback.n_begun > 0
    assert not hasattr(search.best_estimator_, "_parent_callback_ctx")


def test_callbacks_that_would_not_be_called_are_told_of():
    with pytest.warns(UserWarning, match="PrototypeClassifier got callbacks and calls none"):
        PrototypeClassifier().set_callbacks(Counting())
