"""Types of this package that files of skops may name."""

_STAGES = {
    "alignment": (
        "CORAL",
        "MeanAlignment",
        "OptimalTransport",
        "SubspaceAlignment",
        "TransferComponentAnalysis",
    ),
    "columns": (
        "AsNumbers",
        "AsWords",
        "Column",
        "DateParts",
        "EmbeddedColumn",
        "FillMissing",
        "MultimodalVectorizer",
        "NumberScaler",
    ),
    "export": ("check_untrusted_samples",),
    "extraction": (
        "ConSE",
        "PretrainedAudioFeatures",
        "PretrainedFeatures",
        "PretrainedTextFeatures",
    ),
    "finetuning": (
        "AutoencoderFeatures",
        "FineTunedClassifier",
        "FineTunedFeatures",
        "FineTunedRegressor",
    ),
    "finetuning.objectives": (
        "BNM",
        "CDAN",
        "DANN",
        "DeepCORAL",
        "DeepJDOT",
        "InfoMax",
        "MCC",
        "MMD",
    ),
    "heads": ("PrototypeClassifier", "ZeroShotClassifier"),
    "selection": (
        "ATCScorer",
        "BNMScorer",
        "InfoMaxScorer",
        "NeighborInformationScorer",
        "ReverseValidationScorer",
    ),
    "weighting": (
        "DEVScorer",
        "DomainClassifierWeights",
        "ImportanceWeighted",
        "ImportanceWeightedScorer",
        "KLIEP",
        "KMM",
        "LabelShiftWeights",
        "NearestNeighborWeights",
        "ULSIF",
    ),
}
# What scikit-learn's own searches and ensembles hold, and skops does not trust by itself.
_OF_SKLEARN = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.utils._bunch.Bunch",
)


def get_trusted_types():
    """Return the types that fitted estimators of this package need when skops loads them.

    skops builds only objects of types that the reader of a file trusts. This list holds the
    estimators of this package, the parts that they fit, and what the searches and ensembles of
    scikit-learn hold. Types of your own, such as the function that makes a network, come in
    addition.

    Returns
    -------
    names : list of str
        Full names, sorted.

    See Also
    --------
    check_untrusted_samples : Checks what clients send to a loaded estimator.

    Notes
    -----
    Building an object of these types executes nothing that is written in the file. Its
    parameters are still those of whoever wrote the file: a network is loaded by the name that
    it gives, `weights` are read from the path that it gives, and features are written into a
    folder that it gives as `cache`. So load files of people whom you trust. The names do not
    change between versions of this package.

    Examples
    --------
    >>> from sklearn_transfer import get_trusted_types
    >>> names = get_trusted_types()
    >>> "sklearn_transfer.heads.PrototypeClassifier" in names
    True
    >>> import skops.io
    >>> from sklearn_transfer import PrototypeClassifier
    >>> content = skops.io.dumps(PrototypeClassifier().fit([[0.0], [1.0]], ["a", "b"]))
    >>> skops.io.loads(content, trusted=names).predict([[0.9]])
    array(['b'], dtype='<U1')
    """
    own = [
        f"sklearn_transfer.{stage}.{name}"
        for stage, names in _STAGES.items()
        for name in names
    ]
    return sorted([*own, *_OF_SKLEARN])
