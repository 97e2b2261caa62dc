"""Tools of other projects accept paths of images in a DataFrame with one column."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return the paths of 16 dark or light images and whether they are dark."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    y = np.array([0] * 10 + [1] * 6)
    paths = []
    for row, label in enumerate(y):
        image = rng.integers(100 * label, 150 + 100 * label, (24, 30, 3)).astype(np.uint8)
        paths.append(str(folder / f"{row}.png"))
        Image.fromarray(image).save(paths[-1])
    return pd.DataFrame({"path": paths}), y


def pipeline():
    features = PretrainedFeatures("test_resnet.r160_in1k", weights=None, input_size=32)
    return make_pipeline(features, LogisticRegression(max_iter=2000))


def test_imbalanced_learn_resamples_paths(table):
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline as imblearn_pipeline

    frame, y = table
    balanced, labels = RandomOverSampler(random_state=0).fit_resample(frame, y)
    assert np.bincount(labels).tolist() == [10, 10]
    pipe = imblearn_pipeline(RandomOverSampler(random_state=0), *pipeline())
    found = pipe.fit(frame, y).predict_proba(frame)
    expected = pipeline().fit(balanced, labels).predict_proba(frame)
    np.testing.assert_allclose(found, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_fairlearn_reduces_on_paths(table):
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient

    frame, y = table
    reduction = ExponentiatedGradient(
        pipeline(),
        DemographicParity(),
        max_iter=2,
        sample_weight_name="logisticregression__sample_weight",
    )
    reduction.fit(frame, y, sensitive_features=np.arange(16) % 2)
    assert set(reduction.predict(frame, random_state=0)) <= {0, 1}
