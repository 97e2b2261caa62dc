"""Loading by transformers without what it prints."""

from contextlib import contextmanager


@contextmanager
def silence_warnings(transformers):
    """Context without warnings of transformers, which are about what is not used here."""
    logging = transformers.utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


@contextmanager
def silence_progress(transformers):
    """Context without the progress bars that transformers shows while it loads weights."""
    logging = transformers.utils.logging
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
