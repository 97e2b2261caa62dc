"""Export of fitted estimators to files that run without Python."""

from numbers import Real

from sklearn_transfer._validation import shorten


def to_onnx(fitted, path, *, X=None, input_size=None, tolerance=1e-4):
    """Write a fitted estimator to one ONNX file, from samples to predictions.

    The file runs wherever ONNX Runtime does, without Python, scikit-learn or PyTorch.

    Parameters
    ----------
    fitted : estimator
        A fitted Pipeline of `PretrainedFeatures`, `PretrainedTextFeatures` or
        `PretrainedAudioFeatures` and steps that skl2onnx converts (scalers, PCA, linear models,
        trees, support vector machines, ...), `PrototypeClassifier` or an aligner among them; an
        extractor alone; or a fitted `FineTunedClassifier` or `FineTunedRegressor`. Of a search
        its best estimator is exported, and of `ImportanceWeighted` the one that it fitted.
    path : path
        The file, which is replaced if it exists. Its folder must exist.
    X : sequence of n_samples samples, default=None
        Samples on which the file is compared with Python, as `fitted` takes them, such as a
        few dozen of the held-out ones. None is eight artificial ones, which do not change.
    input_size : int or (height, width), default=None
        For images: pixels of the pictures that the file takes, which it scales and crops as
        the estimator does. None is the size at which the network sees them, so that scaling
        and cropping are outside.
    tolerance : float, default=1e-4
        Most that a sample may differ from Python: in its probabilities, or relative to the
        largest of all in what is no probability.

    Returns
    -------
    path : path
        As given.

    Raises
    ------
    ImportError
        If the extra `onnx` is not installed.
    TypeError
        If `fitted` is no estimator.
    ValueError
        If a part of it has no conversion, with the reason.
    ArithmeticError
        If the file would differ from Python by more than `tolerance`, with the row. Nothing is
        written then, and a file that was there stays.

    See Also
    --------
    to_module : The network alone, for other converters.

    Notes
    -----
    *Inputs*, for any number of samples at once:

    - images: "pixels" (n, height, width, channels), uint8, upright and with the colors of the
      network. Decoding, EXIF orientation and transparency stay outside. With `input_size`,
      Pillow's integer weights are two products of matrices inside, which give its pixels to
      the bit for nearly all sizes, and never differ by more than one level;
    - texts: "input_ids" and "attention_mask" (n, length), int64, from the tokenizer in the
      metadata, which also cuts long texts; `long_text="windows"` is refused;
    - sounds: "waveform" (n, length), float32, mono at the network's sampling rate, all of one
      length up to one window;
    - with `preprocess=None`: "input", as the network takes it.

    *Outputs* have the names of skl2onnx: "label" and "probabilities" (n, n_classes) of
    classifiers, "scores" where these have no probabilities, and "variable" (n, n_columns) of
    all others. With several tasks, "_" and the task's name follow. Labels keep their type:
    strings, int64, float64 or boolean.

    *Metadata* of the file hold, as text or JSON: `inputs`, `classes`, `estimator`, `network`,
    `weights_sha256`, `license` (of the weights, where it is known), `versions`, `tolerance` and
    `difference` (the largest one that was found), and `tokenizer` and `prompt` for texts.

    The file computes in float32 throughout, its heads too, so that predictions of trees may
    change where a feature lies at a threshold: the comparison with Python says so. Steps that
    run code of one's own are refused, as are several inputs, bfloat16, `on_error="nan"` and
    weights beyond 2 GB. The graph is of opset 17, which ONNX Runtime reads since 1.12.

    References
    ----------
    .. [1] ONNX, https://onnx.ai, and sklearn-onnx, https://onnx.ai/sklearn-onnx.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_transfer import PretrainedFeatures, to_onnx
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> X, y = load_photo_crops(2, size=64, random_state=0, return_X_y=True)
    >>> pipe = make_pipeline(PretrainedFeatures(input_size=64), LogisticRegression()).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     path = to_onnx(pipe, os.path.join(folder, "model.onnx"), input_size=64)
    """
    from sklearn_transfer.export.onnx.exports import Export

    if not isinstance(tolerance, Real) or not tolerance >= 0:
        raise ValueError(f"tolerance={shorten(tolerance)}: expected a number of at least 0")
    return Export(fitted, input_size).write(path, X, float(tolerance))
