"""A table and an estimator in one line."""

from sklearn.pipeline import make_pipeline

from sklearn_transfer.columns._vectorizer import MultimodalVectorizer


def make_multimodal_pipeline(estimator, *, vectorizer=None):
    """Build a pipeline that predicts from a table with images, texts, sounds and numbers.

    Parameters
    ----------
    estimator : estimator
        Classifier or regressor that takes a table of numbers.
    vectorizer : MultimodalVectorizer or None, default=None
        Turns the table into numbers. None is `MultimodalVectorizer()`.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        The vectorizer and the estimator, named by their classes in small letters, as
        `sklearn.pipeline.make_pipeline` does.

    See Also
    --------
    MultimodalVectorizer : Decides what each column holds.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_transfer import make_multimodal_pipeline
    >>> table = pd.DataFrame({"width": [1.0, 2.0, 8.0, 9.0], "color": ["red", "blue"] * 2})
    >>> model = make_multimodal_pipeline(LogisticRegression()).fit(table, [0, 0, 1, 1])
    >>> model.predict(table).tolist()
    [0, 0, 1, 1]
    """
    vectorizer = MultimodalVectorizer() if vectorizer is None else vectorizer
    return make_pipeline(vectorizer, estimator)
