"""Checks of what estimators of transfer learning promise, for your own ones as well.

They are functions that raise, and need no pytest. As in
`sklearn.utils.estimator_checks`, an estimator gets the checks that fit what it can do.
"""

from sklearn_transfer.testing._checks import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)

__all__ = ["check_estimator", "estimator_checks_generator", "parametrize_with_checks"]
