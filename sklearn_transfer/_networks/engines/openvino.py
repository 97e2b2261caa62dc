"""OpenVINO as an engine."""

import ctypes
import os
import weakref
from contextlib import ExitStack

from sklearn_transfer._networks.engines.compiled import CompiledEngine
from sklearn_transfer._process.forks import Turn, run_at_fork


class OpenVINOEngine(CompiledEngine):
    """OpenVINO, a stream to each core."""

    name = "openvino"
    n_copies = 2  # of the weights: its model's, and those in the order of its kernels
    used_in = None  # the process, since OpenVINO hangs in a child forked after its use

    def compile(self, path, precision):
        import openvino

        if OpenVINOEngine.used_in not in (None, os.getpid()):
            raise RuntimeError("not in a process that was forked from one that used it")
        OpenVINOEngine.used_in = os.getpid()
        _openvino_engines.add(self)
        core = openvino.Core()
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "NUM_STREAMS": self.n_workers,
            "INFERENCE_NUM_THREADS": self.n_workers,
            # Processes side by side would all be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        self.compiled = core.compile_model(core.read_model(path), "CPU", hints)
        self.idle = []  # requests that may be used again, since making one takes a while

    def infer(self, inputs):
        """Outputs of each input; all wait at once, so that no core waits for the next."""
        requests = [self._take_request() for _ in inputs]
        with ExitStack() as stack:  # which waits for all, also where one fails
            for request, arrays in zip(requests, inputs, strict=True):
                stack.callback(request.wait)
                request.start_async(arrays, share_inputs=True)
        n_outputs = range(len(self.plan.taps))
        rows = [[r.get_output_tensor(i).data.copy() for i in n_outputs] for r in requests]
        self.idle += requests
        return rows

    def _take_request(self):
        try:
            return self.idle.pop()
        except IndexError:
            return self.compiled.create_infer_request()


_openvino_engines = weakref.WeakSet()


def _keep_engines_alive():
    """Leak engines of the parent: OpenVINO aborts a child in which they are destroyed."""
    for engine in _openvino_engines:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))


run_at_fork(Turn.ENGINES, in_child=_keep_engines_alive)
