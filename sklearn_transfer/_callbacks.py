"""Support for the callbacks of scikit-learn 1.9."""

import warnings

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn < 1.9

    class TakesCallbacks:
        """Empty, as this version of scikit-learn has no callbacks."""

else:

    class TakesCallbacks(CallbackSupportMixin):
        """Accepts callbacks from a search or Pipeline; its own `fit` calls none of them.

        Without it scikit-learn warns in each fit of a search that has callbacks.
        """

        def set_callbacks(self, *callbacks):
            """Take callbacks of a search or Pipeline around this estimator.

            Parameters
            ----------
            *callbacks : callbacks of scikit-learn
                None of them is called in `fit`.

            Returns
            -------
            self : object
                The estimator.
            """
            if callbacks and not hasattr(self, "_parent_callback_ctx"):
                warnings.warn(
                    f"{type(self).__name__} got callbacks and calls none in its own fit: set "
                    "them on the search or Pipeline around it",
                    UserWarning,
                    stacklevel=2,
                )
            return super().set_callbacks(*callbacks)
