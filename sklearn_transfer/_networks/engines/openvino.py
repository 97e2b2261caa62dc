"""OpenVINO as an engine."""

import ctypes
import os
import weakref
from contextlib import ExitStack

from sklearn_transfer._networks.engines.compiled import CompiledEngine
from sklearn_transfer._process.forks import Turn, run_at_fork


class OpenVINOEngine(CompiledEngine):
    """OpenVINO, with one stream per core."""

    name = "openvino"
    leaves_out_outputs = True
    n_copies = 2  # of the weights: those of the model, and those reordered for its kernels
    # Identifier of the process that used OpenVINO first. OpenVINO hangs in a child that was
    # forked after that, since its threads do not exist there.
    used_in = None

    def compile(self, graph, precision):
        import openvino

        if OpenVINOEngine.used_in not in (None, os.getpid()):
            raise RuntimeError(
                "OpenVINO cannot be used in a process forked from one that used it"
            )
        OpenVINOEngine.used_in = os.getpid()
        _openvino_engines.add(self)
        core = openvino.Core()
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "NUM_STREAMS": self.n_workers,
            "INFERENCE_NUM_THREADS": self.n_workers,
            # With pinning, all processes on a machine would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        model = core.read_model(graph)
        self.positions = self._leave_out_outputs(model)
        self.compiled = core.compile_model(model, "CPU", hints)
        self.idle = []  # requests to be used again, since creating one takes long

    def _leave_out_outputs(self, model):
        """Remove outputs that no tap needs; returns at which one each tap is found then."""
        if self.outputs is None:
            return list(range(len(self.task.taps)))
        kept = sorted(set(self.outputs))
        for position, result in enumerate(model.get_results()):
            if position not in kept:
                model.remove_result(result)
        return [kept.index(position) for position in self.outputs]

    def infer(self, inputs):
        """Return the outputs of each input; all start at once to keep the cores busy."""
        requests = [self._take_request() for _ in inputs]
        with ExitStack() as stack:  # waits for all requests, also if one fails
            for request, arrays in zip(requests, inputs, strict=True):
                stack.callback(request.wait)
                request.start_async(arrays, share_inputs=True)
        rows = [[r.get_output_tensor(i).data.copy() for i in self.positions] for r in requests]
        self.idle += requests
        return rows

    def _take_request(self):
        try:
            return self.idle.pop()
        except IndexError:
            return self.compiled.create_infer_request()


_openvino_engines = weakref.WeakSet()


def _keep_engines_alive():
    """Keep the engines of the parent alive until a forked child ends.

    OpenVINO aborts a child that destroys them, so their reference counts never reach zero.
    """
    for engine in _openvino_engines:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))


run_at_fork(Turn.ENGINES, in_child=_keep_engines_alive)
