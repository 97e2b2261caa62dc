"""Front of networks whose input is given as it is."""

import numpy as np

from sklearn_transfer.export._onnx.fronts import N_EXAMPLES, Front, InputSpec


class RowFront(Front):
    """Rows of numbers, which are the network's input as they are."""

    @property
    def inputs(self):
        return [
            InputSpec(name, np.dtype(dtype).name, (None, *shape), "the network's own input")
            for name, shape, dtype in self.signature
        ]

    def make_examples(self):
        (name, _, _) = self.signature[0]
        return self.reader.format.example(N_EXAMPLES, self.signature)[name]
