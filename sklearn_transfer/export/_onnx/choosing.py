"""Choice of the front for the samples of an estimator."""

from sklearn_transfer._modalities.audio.reader import AudioReader
from sklearn_transfer._modalities.image.reader import ImageReader
from sklearn_transfer._modalities.readers import RowReader
from sklearn_transfer._modalities.text.reader import TextReader
from sklearn_transfer._validation import shorten
from sklearn_transfer.export._onnx.images import ImageFront
from sklearn_transfer.export._onnx.rows import RowFront
from sklearn_transfer.export._onnx.texts import TextFront


def make_front(estimator, reader, signature, input_size):
    """Return the `Front` for a reader; raises ValueError where there is none."""
    name = type(estimator).__name__
    if not isinstance(reader, ImageReader) and input_size is not None:
        raise ValueError(
            f"input_size={shorten(input_size)} is for pictures, but this {name} takes"
            f" samples of the kind {reader.unit!r}; leave input_size=None"
        )
    if isinstance(reader, ImageReader):
        return ImageFront(reader, signature, input_size)
    if isinstance(reader, TextReader):
        if reader.tokenization.long_text == "windows":
            raise ValueError(
                f"{name}(long_text='windows') takes several passes of a long text, of which a"
                " file holds one; use long_text='truncate'"
            )
        return TextFront(reader, signature)
    if isinstance(reader, RowReader):
        return RowFront(reader, signature)
    if isinstance(reader, AudioReader):
        from sklearn_transfer.export._onnx.sounds import make_sound_front

        return make_sound_front(estimator, reader, signature)
    raise ValueError(
        f"{name} has a callable as preprocess, which ONNX cannot hold; use preprocess='auto',"
        " or preprocess=None with the network's input as X"
    )
