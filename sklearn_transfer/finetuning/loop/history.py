"""The history of a training: one entry per epoch, and the weights of the best one."""


class History:
    """Entries of the epochs of a training, and the weights of the best one.

    Parameters
    ----------
    judged : {"train_loss", "valid_loss"}
        Which entry decides what is best: the smallest.
    take_snapshot : callable, default=None
        Returns copies of the weights, which are kept for the best epoch. None keeps nothing.
    entries : list of dict, default=None
        Those of earlier trainings, which are added to.
    """

    def __init__(self, judged, take_snapshot=None, entries=None):
        self.judged, self.take_snapshot = judged, take_snapshot
        self.entries = [] if entries is None else entries
        self.best_weights = None
        self._best_value = None
        for entry in self.entries:
            self._improve(entry)

    def __len__(self):
        return len(self.entries)

    def add(self, entry):
        """Add what is known of an epoch; returns whether it is the best so far."""
        is_best = self._improve(entry)
        if is_best:
            for earlier in self.entries:
                earlier["best"] = False
            if self.take_snapshot is not None:
                self.best_weights = self.take_snapshot()
        self.entries.append({"epoch": len(self.entries) + 1, **entry, "best": is_best})
        return is_best

    def _improve(self, entry):
        value = entry.get(self.judged)
        if value is None or (self._best_value is not None and not value < self._best_value):
            return False
        self._best_value = value
        return True
