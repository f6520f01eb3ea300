"""Build the sample book from its Typst source. The result is the same bytes on every machine.

Usage: python data/sample/build.py [OUTPUT.pdf]
"""

from __future__ import annotations

import sys
from pathlib import Path

import typst

HERE = Path(__file__).resolve().parent
BOOK = HERE / "six-ideas-of-machine-learning.pdf"


def build(output: Path = BOOK) -> Path:
    """Compile book.typ with the fonts that come inside Typst, so that no system font changes it."""
    typst.compile(str(HERE / "book.typ"), output=str(output), ignore_system_fonts=True, format="pdf")
    return output


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]) if len(sys.argv) > 1 else BOOK).name}\n")
