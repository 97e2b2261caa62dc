"""Objectives of the distributions of features: Deep CORAL and MMD."""

from sklearn_transfer._validation import shorten
from sklearn_transfer.finetuning.objectives.adaptation import AdaptationObjective


class DeepCORAL(AdaptationObjective):
    """Correlation alignment: features get the same covariance in both domains.

    It assumes that domains differ in scale and correlation of features, as by contrast, light
    or a sensor, and that class shares are about equal. It suits every kind of task. It is the
    most careful of the objectives: it seldom helps much and seldom hurts.

    Parameters
    ----------
    weight : float, default=10.0
        Factor of the term. The paper chooses it so that this term and the supervised loss
        end at about the same size; because of the division by d^2 that is often far above 1.

    See Also
    --------
    MMD : Compares whole distributions.
    sklearn_transfer.CORAL : The same aim by a linear map of fixed features.

    Notes
    -----
    With the covariances C_s and C_t of d features in the batches::

        value = ||C_s - C_t||_F^2 / (4 d^2)

    It grows with the fourth power of the scale of features, and does not see their means.
    Source rows count by their weights a_i of sum 1: deviations from the weighted mean, divided
    by 1 - sum_i a_i^2, which is the usual n - 1 for equal weights. A batch of n rows adds an
    error of about (tr(C)^2 + ||C||_F^2) / (4 d^2 n) for each domain, so that with small
    batches the value stays above 0 for equal domains and pulls variances down. A domain whose
    rows in the batch are all equal has no covariance: the value is 0. The paper takes the
    outputs of the last layer for features; here they are what the head gets. A step costs
    n d^2 operations.

    *Evidence.* On two Gaussians that turn by 65 degrees between the domains (mean of three
    draws, source-only 0.88) the accuracy is 0.99. With 80 % of the target in one class
    (source-only 0.84) it is 0.99.

    On fourteen directions of real images with frozen features
    (`python -m benchmarks.adaptation`) the accuracy is 70.3 % on average, and 61.5 % without
    adaptation; on twelve others, which nothing was chosen on, it is 76.4 and 70.8 %. Weights
    from 10 to 100 make little difference; with 1 the gain is smaller, and with 1000 it is
    lost. It lost 5 points with class shares of 9:1 in the target, and nothing on equal
    domains.

    *When it hurts.* With shifted or partial labels the covariance should differ, and is made
    equal. In the published results of skada-bench it is, with `MCC` and `DeepJDOT`, among the
    methods that seldom hurt.

    References
    ----------
    Sun, B. and Saenko, K. (2016). Deep CORAL: correlation alignment for deep domain
    adaptation. ECCV Workshops.

    Examples
    --------
    >>> import torch
    >>> from sklearn_transfer.finetuning.objectives import DeepCORAL, Step
    >>> rows, logits = torch.eye(4), torch.zeros(4, 2)
    >>> y, even = (torch.tensor([0, 1, 0, 1]),), torch.ones(4)
    >>> for target in (rows + 3, 2 * rows):
    ...     step = Step(rows, logits, y, even, 1.0, None, target, logits)
    ...     print(f"{DeepCORAL().compute(step):.4f}")
    0.0000
    0.0469
    """

    def __init__(self, weight=10.0):
        self.weight = weight

    def compute(self, step):
        """Squared distance of the covariances of both batches.

        Parameters
        ----------
        step : Step
            A batch of each domain after its forward pass.

        Returns
        -------
        value : Tensor of shape ()
            The value of the Notes.
        """
        from sklearn_transfer.finetuning.objectives import formulas

        source, target = step.features, step.target_features
        shares, even = formulas.compute_shares(step), formulas.make_even_shares(target)
        if not (formulas.has_spread(source, shares) and formulas.has_spread(target, even)):
            return source.new_zeros(())
        gap = formulas.compute_covariance(source, shares)
        gap = gap - formulas.compute_covariance(target, even)
        return gap.square().sum() / (4 * source.shape[1] ** 2)


class MMD(AdaptationObjective):
    """Maximum mean discrepancy: features get the same distribution in both domains.

    It assumes that domains differ in what features are distributed like, and that class
    shares are equal. It suits every kind of task.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term, between 0 and 2 at a `weight` of 1 whatever the scale of features.
    bandwidths : sequence of float, default=(0.25, 0.5, 1.0, 2.0, 4.0)
        One Gaussian kernel each; factors of the median of the squared distances. Small ones
        see near rows only, which is noise in batches of few rows; for large ones the kernel
        sees means only.

    See Also
    --------
    DeepCORAL : Compares covariances only, and is more careful.
    DeepJDOT : Compares features and labels together.

    Notes
    -----
    With the kernel k(x, z) = mean_u exp(-||x - z||^2 / (b_u M)) of features, where M is the
    (lower) median of the squared distances of all pairs of different rows of both batches,
    and has no gradient::

        value = mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j)
                - 2 mean_{i, j} k(s_i, t_j)

    Source rows count by their weights. The estimate is unbiased: its mean does not depend on
    `batch_size`, and with equal domains it is negative half of the time. Its error falls with
    the rows of a batch, and features that change by less than that are not seen: take 32 rows
    or more. The mean over pairs of one row is 1. The paper compares several layers; here the
    features are what the head gets. A step costs (n + m)^2 (d + number of kernels) operations.

    *Evidence.* On two Gaussians that turn by 65 degrees between the domains (mean of three
    draws, source-only 0.88) the accuracy is 0.99. With 80 % of the target in one class
    (source-only 0.84) it is 0.96.

    On fourteen directions of real images with frozen features
    (`python -m benchmarks.adaptation`) the accuracy is 71.8 % on average, and 61.5 % without
    adaptation; on twelve others, which nothing was chosen on, it is 76.2 and 70.8 %. Weights
    from 0.3 to 10 make little difference. It gained 33 points under noise and 35 under
    darkness, and lost 3 with class shares of 9:1 in the target, 14 where textiles had other
    shares.

    *When it hurts.* With shifted or partial labels the distributions should differ, and rows
    of one class are moved onto another to make them equal. Classes are not looked at, so that
    equal distributions do not mean equal classes.

    References
    ----------
    Long, M., Cao, Y., Wang, J. and Jordan, M. (2015). Learning transferable features with
    deep adaptation networks. ICML.

    Gretton, A. et al. (2012). A kernel two-sample test. Journal of Machine Learning Research
    13.

    Examples
    --------
    >>> import torch
    >>> from sklearn_transfer.finetuning.objectives import MMD, Step
    >>> rows, logits = torch.eye(4), torch.zeros(4, 2)
    >>> y, even = (torch.tensor([0, 1, 0, 1]),), torch.ones(4)
    >>> for target in (-rows, rows + 3):
    ...     step = Step(rows, logits, y, even, 1.0, None, target, logits)
    ...     print(f"{MMD().compute(step):.2f}")
    0.08
    1.10
    """

    _parameter_constraints: dict = {
        **AdaptationObjective._parameter_constraints,
        "bandwidths": ["array-like"],
    }

    def __init__(self, weight=1.0, *, bandwidths=(0.25, 0.5, 1.0, 2.0, 4.0)):
        self.weight = weight
        self.bandwidths = bandwidths

    def check(self, targets):
        """Raise a ValueError if parameters are invalid.

        Parameters
        ----------
        targets : Targets
            The tasks of the network.
        """
        super().check(targets)
        if len(self.bandwidths) == 0 or not all(value > 0 for value in self.bandwidths):
            raise ValueError(
                f"bandwidths is {shorten(self.bandwidths)}, expected one or more factors"
                " above 0"
            )

    def compute(self, step):
        """Squared discrepancy of the features of both batches.

        Parameters
        ----------
        step : Step
            A batch of each domain after its forward pass.

        Returns
        -------
        value : Tensor of shape ()
            The value of the Notes.
        """
        from sklearn_transfer.finetuning.objectives import formulas

        return formulas.compute_discrepancy(
            step.features, step.target_features, formulas.compute_shares(step), self.bandwidths
        )
