"""A fitted pipeline behind HTTP, for images, sounds or texts of clients.

python serve.py model.joblib [--kind image] [--port 8000]

The model is a file of joblib that you wrote yourself, since reading one can execute what is in
it, or one of skops, which builds only objects of trusted types.

A client sends one file as the body of a request, or several as `data:` URIs::

    curl --data-binary @photo.jpg -H "Content-Type: image/jpeg" localhost:8000/predict
    curl --json '{"samples": ["data:image/jpeg;base64,..."]}' localhost:8000/predict
"""

import argparse
import io
import json
import wave

import anyio
import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from sklearn_transfer import check_untrusted_samples, get_trusted_types

MAX_BODY = 20_000_000  # bytes of a request
MAX_SECONDS = 30  # in which a body has to come
MAX_WAITING = 16  # requests at a time; others are answered 503 at once


def make_application(model, kind):
    """Application that answers requests by the predictions of a fitted pipeline."""
    one_at_a_time = anyio.CapacityLimiter(1)  # a prediction uses all cores

    def answer(media, body):
        samples = read_samples(media, body, kind)  # here, so that one is parsed at a time
        samples = check_untrusted_samples(samples, kind)  # bytes or texts, never paths
        if not hasattr(model, "predict_proba"):
            return {"predictions": make_lists(model.predict(samples))}
        found = {"classes": model.classes_, "probabilities": model.predict_proba(samples)}
        return {name: make_lists(values) for name, values in found.items()}

    async def predict(request):
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            with anyio.fail_after(MAX_SECONDS):
                body = await read_body(request)
        except TimeoutError as error:
            raise HTTPException(408, f"The body took more than {MAX_SECONDS} s") from error
        try:
            found = await anyio.to_thread.run_sync(answer, media, body, limiter=one_at_a_time)
        except ValueError as error:  # a sample that is refused, or cannot be decoded
            raise HTTPException(400, str(error)) from error
        return JSONResponse(found)

    async def report_health(request):
        return JSONResponse({"status": "ready"})

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/health", report_health),
    ]
    return Starlette(routes=routes)


async def read_body(request):
    """Body of a request, of which no more is read than may be sent."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MAX_BODY:
            raise HTTPException(413, f"The body has more than {MAX_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


def make_lists(values):
    """Values that JSON can hold; lists are those of several outputs."""
    if isinstance(values, list):
        return [make_lists(inner) for inner in values]
    values = np.asarray(values)
    return (values.astype(str) if values.dtype.kind in "mM" else values).tolist()


def read_samples(media, body, kind):
    """Samples of a request: those of a list in JSON, or the body as the only one."""
    if media == "application/json":
        try:
            return json.loads(body)["samples"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise HTTPException(400, 'Expected JSON such as {"samples": [...]}') from error
    if kind == "text":
        raise HTTPException(415, "Expected application/json")
    return [body]


def load_model(path):
    """Load a fitted pipeline from a file."""
    if path.endswith(".skops"):
        import skops.io  # takes several seconds, as it imports all of scikit-learn and torch

        return skops.io.load(path, trusted=get_trusted_types())
    import joblib

    return joblib.load(path)


def run_once(model, kind):
    """Load the network before the first request comes."""
    if kind == "text":
        model.predict(["a text"])
    if kind == "image":
        file = io.BytesIO()
        Image.new("RGB", (64, 64)).save(file, "PNG")
        model.predict([file.getvalue()])
    if kind == "audio":
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes(bytes(32_000))
        model.predict([file.getvalue()])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="file that joblib or skops wrote")
    parser.add_argument("--kind", choices=["image", "audio", "text"], default="image")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    model = load_model(args.model)
    run_once(model, args.kind)
    application = make_application(model, args.kind)
    # uvicorn refuses the request that reaches its limit.
    limit = MAX_WAITING + 1
    uvicorn.run(application, host=args.host, port=args.port, limit_concurrency=limit)


if __name__ == "__main__":
    main()
