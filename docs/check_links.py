"""Check the links inside a built site: each file, picture and place in a page exists.

    python docs/check_links.py docs/_build

Addresses of other sites are not opened. The exit status is 1 if a link is broken.
"""

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class PageParser(HTMLParser):
    """Collects what a page links to, and the places in it that others can link to."""

    def __init__(self):
        super().__init__()
        self.links, self.places = [], set()

    def handle_starttag(self, tag, attrs):
        """Read the attributes of one element."""
        for name, value in attrs:
            if name in ("href", "src", "poster") and value and not self.is_hidden(tag, attrs):
                self.links.append(value)
            elif name == "srcset" and value:
                self.links.extend(part.split()[0] for part in value.split(","))
            elif name == "id" or (name == "name" and tag == "a"):
                self.places.add(value)

    def is_hidden(self, tag, attrs):
        """Tell whether a link only names an address, which no reader can follow."""
        return tag == "link" and ("rel", "canonical") in attrs


@cache
def parse_page(path):
    """Return the links of a page and its places."""
    parser = PageParser()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.links, parser.places


def find_fault(page, link):
    """Return what is wrong with a link of a page, or None."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target = target / "index.html"
    if not target.exists():
        return "no such file"
    place = unquote(parts.fragment).partition(":~:")[0]
    if place and target.suffix == ".html" and place not in parse_page(target)[1]:
        return "no such place in the page"
    return None


def find_broken_links(folder):
    """Return the pages of a folder, and a line for each link in them that is broken."""
    pages = sorted(Path(folder).resolve().rglob("*.html"))
    pages = [page for page in pages if "_static" not in page.parts]  # templates of the theme
    broken = []
    for page in pages:
        for link in dict.fromkeys(parse_page(page)[0]):
            if fault := find_fault(page, link):
                broken.append(f"{page.relative_to(Path(folder).resolve())}: {link}: {fault}")
    return pages, broken


if __name__ == "__main__":
    pages, broken = find_broken_links(sys.argv[1])
    print(*broken, sep="\n", end="\n" if broken else "")
    print(f"{len(pages)} pages, {len(broken)} broken links")
    sys.exit(bool(broken) or not pages)
