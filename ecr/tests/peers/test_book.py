"""The documents as a book: mdBook makes a page of each, and every link and anchor of its pages leads somewhere."""

import html.parser
import os
import pathlib
import subprocess
import tempfile
import unittest
import urllib.parse

from peers import ROOT, need

DOCS = ROOT / "ecr/docs"


class Page(html.parser.HTMLParser):
    """The anchors of a page, and what it links to or shows."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value is not None:
                self.links.append(value)


class Book(unittest.TestCase):
    def test_links(self):
        need("mdbook")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            built = subprocess.run(["mdbook", "build", "--dest-dir", folder, DOCS], text=True, capture_output=True)
            self.assertEqual(built.returncode, 0, built.stderr)
            self.assertNotRegex(built.stderr, "WARN|ERROR")
            sources = [it.relative_to(DOCS) for it in DOCS.rglob("*.md") if it.name != "SUMMARY.md"]
            pages = {folder / it.with_suffix(".html"): Page(folder / it.with_suffix(".html")) for it in sources}
            self.assertGreater(len(pages), 30)
            for path, page in pages.items():
                for link in page.links:
                    with self.subTest(page=path.relative_to(folder), link=link):
                        self.check(folder, pages, path, link)

    def check(self, folder, pages, path, link):
        parts = urllib.parse.urlsplit(link)
        if parts.scheme or parts.netloc:
            return
        target = pathlib.Path(os.path.normpath(path.parent / parts.path)) if parts.path else path
        if target.is_relative_to(folder):
            self.assertTrue(target.exists(), target)
            if parts.fragment and target in pages:
                self.assertIn(parts.fragment, pages[target].ids)
        else:
            # A file of the repository.
            source = DOCS / path.relative_to(folder).parent / parts.path
            self.assertTrue(source.exists(), source)


if __name__ == "__main__":
    unittest.main()
