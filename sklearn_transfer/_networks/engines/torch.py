"""PyTorch as an engine."""

import os
from dataclasses import replace

from sklearn_transfer._networks.engines.plan import to_tensors
from sklearn_transfer._networks.engines.task import TOLERANCE, compute_difference
from sklearn_transfer._networks.folding import Observation, fold_batch_norms
from sklearn_transfer._process.allocator import keep_memory

_FOLD_TOLERANCE = 1e-5
# Elements of the largest activation of a batch. Activations of more than 16 MB exceed the
# caches of a CPU, and glibc maps and unmaps their memory in every operation.
_ACTIVATION_ELEMENTS = 4 << 20
_LARGEST_BATCH = 64
# Elements of the input of a batch: on a CPU if activations are not known, and on a GPU.
_INPUT_ELEMENTS = (4 * 3 * 224 * 224, 64 * 3 * 224 * 224)


class TorchEngine:
    """PyTorch with folded normalization and with batches that fit into caches.

    A user's own module may keep state, so it runs unchanged and one pass at a time.
    """

    name = "torch"
    n_copies = 1  # of the weights, at most

    def __init__(self, plan):
        self.plan, self.backbone, self.process = plan, plan.backbone, os.getpid()
        self.device = plan.backbone.device
        self.on_cpu = self.device.type == "cpu"
        elements = _INPUT_ELEMENTS[not self.on_cpu]
        self.rows = min(max(elements // max(plan.n_elements, 1), 1), 1024)
        self.independent = True
        self.n_workers = plan.n_threads if self.on_cpu else 1
        if self.backbone.stateful:
            self.n_workers = 1
            return
        self._observe()
        if self.on_cpu:
            keep_memory()

    def _observe(self):
        """Run random payloads to fold normalization and to measure activations."""
        plan = self.plan
        example = to_tensors(plan.example(2), self.device)
        together = plan.forward(example, precision="float32")
        example = {name: tensor[:1] for name, tensor in example.items()}
        with Observation(plan.backbone.module, example) as seen:
            expected = plan.forward(example, precision="float32")
        tolerance = TOLERANCE["float32"]
        self.independent = _are_close([rows[:1] for rows in together], expected, tolerance)
        if self.on_cpu:
            self.rows = min(max(_ACTIVATION_ELEMENTS // seen.largest, 1), _LARGEST_BATCH)
        pairs = seen.list_pairs()
        if pairs:
            folded = replace(
                plan.backbone, module=fold_batch_norms(plan.backbone.module, pairs)
            )
            found = plan.forward(example, folded, precision="float32")
            # The output of a convolution may itself be tapped, as that of the last layer of
            # a module that a user names. Then folding would change features.
            if _are_close(found, expected, _FOLD_TOLERANCE):
                self.backbone = folded

    def choose_batch_size(self, batch_size):
        """Return the number of samples per batch for a value of `batch_size`.

        It is 1 if samples of a batch depend on each other, as they do under batch
        normalization without running statistics.
        """
        if not self.independent:
            return 1
        return self.rows if batch_size == "auto" else batch_size

    def run(self, batch):
        """Return pooled activations of a batch: one (n, width) float32 array per tap."""
        if self.device.type == "cuda":
            tensors = {name: t.pin_memory() for name, t in to_tensors(batch).items()}
            tensors = {n: t.to(self.device, non_blocking=True) for n, t in tensors.items()}
        else:
            tensors = to_tensors(batch, self.device)
        outputs = self.plan.forward(tensors, self.backbone)
        return [output.cpu().numpy() for output in outputs]


def _are_close(found, expected, tolerance):
    return all(
        compute_difference(a.cpu().numpy(), b.cpu().numpy()) <= tolerance
        for a, b in zip(found, expected, strict=True)
    )
