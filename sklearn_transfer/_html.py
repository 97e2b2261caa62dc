"""A report as an HTML table with a conclusion."""

import html


def format_report(caption, rows, conclusion):
    """HTML of pairs of a name and a text, under a caption, with a sentence after them."""
    cells = "".join(
        f"<tr><th style='text-align:left;padding-right:1em'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption><tbody>{cells}</tbody></table>"
        f"<p><strong>{html.escape(conclusion)}</strong></p>"
    )
