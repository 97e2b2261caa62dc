"""ONNX Runtime as an engine."""

from sklearn_transfer._networks.engines.compiled import CompiledEngine


class ONNXRuntimeEngine(CompiledEngine):
    """ONNX Runtime, with one session that each worker runs on one core."""

    name = "onnxruntime"
    n_copies = 1

    def compile(self, graph, precision):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(graph, options, providers=providers)

    def infer(self, inputs):
        names = self.task.names
        return [
            self.session.run(None, dict(zip(names, arrays, strict=True))) for arrays in inputs
        ]
