"""Modules of PyTorch that compute what a fitted estimator's network does."""


def to_module(fitted, *, input_size=None):
    """Module of PyTorch from the inputs of a network to its features or outputs.

    It is what other converters than ONNX need: traced by ``torch.jit.trace``, given to
    OpenVINO's ``convert_model``, or run by itself. `to_onnx` exports the same module, with the
    steps behind it.

    Parameters
    ----------
    fitted : estimator
        A fitted `PretrainedFeatures`, `PretrainedTextFeatures`, `PretrainedAudioFeatures`,
        `FineTunedClassifier` or `FineTunedRegressor`, or a Pipeline or search around one, whose
        further steps are left out.
    input_size : int or (height, width), default=None
        As in `to_onnx`.

    Returns
    -------
    module : torch.nn.Module
        In evaluation mode on the CPU, and without gradients. It takes one tensor for each of
        ``module.inputs``, whose `name`, `dtype`, `shape` and `meaning` say what to pass, and
        returns a matrix (n_samples, ``module.width``) of float32: the features of an
        extractor, for its own choice of `layers` and `pooling`, or the outputs of a fine-tuner
        before the softmax, and before the scale of y. ``module.example(n)`` is a batch of
        random inputs by name.

    Raises
    ------
    TypeError
        If `fitted` is no estimator.
    ValueError
        If its network cannot be taken out, with the reason.

    See Also
    --------
    to_onnx : A file with the whole estimator.

    Notes
    -----
    A pass collects activations by hooks and ends at the deepest layer that is asked for, which
    ``torch.jit.trace`` follows and ``torch.export`` does not. Weights of named networks are
    shared with the estimators of this process: change none of them.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_transfer import PretrainedFeatures
    >>> from sklearn_transfer.export import to_module
    >>> features = PretrainedFeatures(layers="middle").fit(load_sample_images().images)
    >>> module = to_module(features)
    >>> module.inputs[0].name, module.inputs[0].dtype, module.inputs[0].shape
    ('pixels', 'uint8', (None, 224, 224, 3))
    >>> module(*module.example(2).values()).shape == (2, module.width)
    True
    """
    from sklearn_transfer.export.onnx.exports import Export

    return Export(fitted, input_size).module
