"""What must hold for every passage of every real book."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable

import pytest

from t2v_studio.library.blocks import REASONS
from t2v_studio.library.chunking import passages
from t2v_studio.library.passages import Passage
from t2v_studio.library.reading import Reading, admit, read, read_text
from t2v_studio.library.sentences import is_whole, split
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY

BOOKS = [
    "books/decay-book-4print.pdf",
    "books/decay-book-4print-2up.pdf",
    "books/soulmachine-ml-cheat-sheet.pdf",
    "books/erickson-algorithms-01-recursion.pdf",
    "slides/cs229-super-cheatsheet-en.pdf",
    "slides/i2ml-regression-linearmodel.pdf",
    "hard/sf-GeoTopo-komprimiert.pdf",
    "hard/sf-multicolumn.pdf",
]
NOT_BODY = {"contents", "index", "bibliography", "code", "running_head", "page_number"}
Cut = tuple[Reading, list[Passage]]


@pytest.fixture(scope="module")
def cut(reading_of: Callable[[str], Reading]) -> Callable[[str], Cut]:
    """A book's reading and its passages, each made once."""
    cuts: dict[str, Cut] = {}

    def once(name: str) -> Cut:
        if name not in cuts:
            reading = reading_of(name)
            cuts[name] = reading, passages(reading, "0" * 16, min_words=45, max_words=220)
        return cuts[name]

    return once


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def letters(texts: list[str]) -> Counter[str]:
    return Counter(char for text in texts for char in plain(text) if char.isalnum())


def words(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts for word in re.findall(r"[^\W_]+", plain(text)))


@pytest.mark.parametrize("name", BOOKS)
def test_nothing_vanishes(name: str, cut: Callable[[str], Cut]) -> None:
    """Kept and rejected text together hold each letter and digit of the pages exactly as often as the pages do.

    Normalisation: NFKC on both sides, everything but letters and digits ignored. Words are compared too: those that
    differ are only the two halves of words that were broken at a line end.
    """
    reading, found = cut(name)
    lines = [line.text for page in reading.pages for line in page.lines]
    texts = [passage.text for passage in found]
    assert letters(texts) == letters(lines)
    broken = [line for line in lines if re.search(r"[-‐\u00ad_/]\s*$", line)]
    assert (words(lines) - words(texts)).total() <= 3 * len(broken) + 0.002 * words(lines).total()


@pytest.mark.parametrize("name", BOOKS)
def test_words_stand_on_the_cited_pages(name: str, cut: Callable[[str], Cut]) -> None:
    reading, found = cut(name)
    by_page = {page.number: [plain(line.text) for line in page.lines] for page in reading.pages}
    for passage in found:
        if passage.state != "kept":
            continue
        lines = [line for number in range(passage.page, passage.page_last + 1) for line in by_page[number]]
        here = set(words(lines))
        stream = "".join(char for line in lines for char in line if char.isalnum())
        starts = {match[0] for line in lines if (match := re.search(r"[^\W_]+", line))}
        for word in words([passage.text]):
            halves = any(word[:i] in stream and word[i:] in starts for i in range(1, len(word)))
            assert word in here or word in stream or halves, (passage.page, word)


@pytest.mark.parametrize("name", BOOKS)
def test_kept_passages_keep_the_limits(name: str, cut: Callable[[str], Cut]) -> None:
    _, found = cut(name)
    kept = [passage for passage in found if passage.state == "kept"]
    assert kept and len({passage.id for passage in found}) == len(found)
    assert [passage.ordinal for passage in found] == list(range(len(found)))
    for passage in kept:
        assert 45 <= passage.words <= 220
        assert "\ufffd" not in passage.text and not re.search(r"[\x00-\x09\x0b-\x1f\ue000-\uf8ff]", passage.text)
        assert not re.search(r"[\ufb00-\ufb06]", passage.text)
        assert passage.page <= passage.page_at(len(passage.text)) == passage.page_last
    for passage in found:
        assert passage.state == "kept" or passage.reason in REASONS


@pytest.mark.parametrize("name", BOOKS[:1])
def test_page_of_each_sentence_is_right(name: str, cut: Callable[[str], Cut]) -> None:
    reading, found = cut(name)
    streams = {
        page.number: "".join(char for line in page.lines for char in plain(line.text) if char.isalnum())
        for page in reading.pages
    }
    checked = 0
    for passage in found:
        for start in passage.breaks:
            ahead = re.findall(r"[^\W_]+", plain(passage.text[start : start + 60]))[1:4]
            page = passage.page_at(start + 1)
            assert "".join(ahead) in streams[page] or "[…]" in passage.text[start : start + 60], passage.text[start:][
                :60
            ]
            checked += 1
    assert checked > 50


def test_coverage_of_the_decay_book(cut: Callable[[str], Cut]) -> None:
    """At least nine tenths of the words of its prose are kept; displayed formulas, floats and headings are not prose."""
    _, found = cut(BOOKS[0])
    size: Counter[str] = Counter()
    for passage in found:
        size[passage.reason or "kept"] += passage.words
    body = sum(count for reason, count in size.items() if reason not in NOT_BODY)
    assert size["kept"] / body > 0.88
    prose = body - sum(size[reason] for reason in ("formula", "table", "caption", "heading", "footnote"))
    assert size["kept"] / prose > 0.97


def test_no_running_head_is_left_in_the_decay_book(cut: Callable[[str], Cut]) -> None:
    _, found = cut(BOOKS[0])
    text = "\n".join(passage.text for passage in found if passage.state == "kept")
    assert "Released under CC Attribution" not in text
    assert not re.search(r"\d+ \d Algorithms and implementations", text)
    reasons = Counter(passage.reason for passage in found)
    assert reasons["running_head"] > 200 and reasons["index"] and reasons["bibliography"] and reasons["contents"]


def test_both_settings_of_the_decay_book_say_the_same(cut: Callable[[str], Cut]) -> None:
    """The 2-up file holds the same words in pictures of pages, two a sheet."""
    one = words([p.text for p in cut(BOOKS[0])[1] if p.state == "kept"])
    two = words([p.text for p in cut(BOOKS[1])[1] if p.state == "kept"])
    assert (one & two).total() / (one | two).total() > 0.9


def test_symbols_are_read_by_the_better_reader(cut: Callable[[str], Cut]) -> None:
    reading, found = cut(BOOKS[2])
    assert {page.reader for page in reading.pages} == {"pypdf", "pypdfium2"}
    assert not any("p(xj" in passage.text for passage in found if passage.state == "kept")


def test_sections_come_from_the_outline(cut: Callable[[str], Cut]) -> None:
    _, found = cut(BOOKS[0])
    sections = {passage.section for passage in found if passage.state == "kept"}
    assert "Algorithms and implementations > 1.1 Finite difference methods > 1.1.2 The Forward Euler scheme" in sections


def test_the_sample_book_reads_without_its_running_heads() -> None:
    """Each chapter's title stands on three to five heads only, beside the book's own; the sentences below go on."""
    settings = Settings(_env_file=None)
    reading = read(admit(REPOSITORY / "data" / "sample" / "six-ideas-of-machine-learning.pdf", settings), settings)
    found = passages(reading, "0" * 16, min_words=45, max_words=220)
    kept = "\n".join(passage.text for passage in found if passage.state == "kept")
    heads = [passage.text for passage in found if passage.reason == "running_head"]
    assert "Six Ideas of Machine Learning" not in kept and "Contents Six" not in kept
    assert sum("Six Ideas of Machine Learning" in text for text in heads) == 23
    for whole in (
        "the steps jump across the valley and the loss grows instead of falling.",
        "The question of backpropagation is how that one number would change if",
        "Without this scaling the dot products of long vectors become large in size, and the softmax that follows would put",
        "Arrows that are scattered around the centre show low bias and high variance.",
        "plots the true positive rate against the false positive rate for every threshold.",
    ):
        assert whole.lower() in " ".join(kept.split()).lower(), whole
    sentences = [sentence for sentence in split(kept) if "[…]" not in sentence]
    assert all(sentence[0].isupper() or not sentence[0].isalpha() for sentence in sentences)
    assert sum(not is_whole(sentence) for sentence in sentences) <= 0.02 * len(sentences)


GINI = (
    "The Gini index of a node measures how mixed the classes of its samples are. "
    "It is zero when all samples belong to one class and grows as the classes become more even. "
    "The International Society for Trees recommends it, and its index is cheap to compute. "
    "A reference to the contents of a node is kept while the tree grows, so that each split can be tried in turn. "
)


PRUNING = (
    "Pruning removes branches that hardly improve the fit on data which the tree has not seen. "
    "A small penalty on the number of leaves decides how far it goes. "
    "Cross-validation picks the penalty, and the tree that is left is easier to read than the full one. "
    "Random forests skip this step because they average over many deep trees. "
)


def test_one_word_rejects_nothing() -> None:
    found = passages(read_text(GINI.encode()), "0" * 16, min_words=20, max_words=220)
    assert [passage.state for passage in found] == ["kept"]


def test_markdown_sections_code_and_duplicates() -> None:
    text = f"# Trees\n\n{GINI}\n\n```python\nprint('x')\n```\n\n## Again\n\n{GINI}\n\n## Short\n\nToo few words.\n"
    found = passages(read_text(text.encode(), markdown=True), "0" * 16, min_words=20, max_words=220)
    by_reason = {passage.reason: passage for passage in found if passage.reason != "heading"}
    assert set(by_reason) == {"", "code", "duplicate", "too_short"}
    assert by_reason[""].section == "Trees" and by_reason["duplicate"].section == "Trees > Again"


def test_text_pages_at_form_feeds() -> None:
    found = passages(read_text((GINI + "\f" + PRUNING).encode()), "0" * 16, min_words=20, max_words=80)
    assert [(passage.page, passage.page_last) for passage in found if passage.state == "kept"] == [(1, 1), (2, 2)]
