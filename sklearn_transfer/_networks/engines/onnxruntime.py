"""ONNX Runtime as an engine."""

import tempfile
from pathlib import Path

from sklearn_transfer._networks.engines.compiled import CompiledEngine


class ONNXRuntimeEngine(CompiledEngine):
    """ONNX Runtime, with one session that each worker runs on one core."""

    name = "onnxruntime"
    n_copies = 1

    def compile(self, graph, precision):
        if isinstance(graph, bytes):  # of which a session would keep a copy
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                path = Path(folder, "network.onnx")
                path.write_bytes(graph)
                self._open_session(path)
        else:
            self._open_session(graph)

    def _open_session(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)

    def infer(self, inputs):
        names = self.task.names
        return [
            self.session.run(None, dict(zip(names, arrays, strict=True))) for arrays in inputs
        ]
