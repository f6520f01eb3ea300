"""A page of a book beside the words that were taken from it, as a dialog or as part of a tab."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from t2v_studio.errors import InputError, NotFoundError, StudioError
from t2v_studio.studio import Studio
from t2v_studio.ui import markup

ZOOM = """
element.addEventListener('click', (event) => {
  const picture = event.target.closest('[data-zoom]');
  if (picture) picture.closest('.t2-spread').classList.toggle('zoom');
});
"""
"""Script of a component that shows a spread: a click on the page enlarges it, another makes it fit again."""

DETAIL = (
    ZOOM
    + """
watch('value', () => {
  if (window.innerWidth <= 760 && element.querySelector('.t2-spread')) element.scrollIntoView({behavior: 'smooth'});
});
"""
)
"""The same for the page beside the library's tables, which on a narrow window stands below them."""

DIALOG = (
    ZOOM
    + """
const show = () => {
  const dialog = element.querySelector('dialog');
  if (!dialog || dialog.open) return;
  dialog.showModal();
  dialog.addEventListener('close', () => { props.value = ''; }, {once: true});
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
  });
};
watch('value', show);
"""
)


NOTHING = markup.empty(
    "The page beside the words", "Choose a hit or a passage: it is shown here in full, with a picture of its page."
)


def picture(studio: Studio, book_id: str, page: int) -> str:
    """The page as an <img> that carries its own bytes, so that no file of the library is ever served."""
    try:
        data = studio.page_picture(book_id, page).read_bytes()
    except NotFoundError as error:
        return markup.empty("No picture of this page", error.hint or "Only PDF books have pages to show.")
    except StudioError as error:
        return markup.notice(error.message, error.hint, "warn")
    return (
        '<button type="button" class="t2-zoom" data-zoom="1" title="Enlarge, or fit again">'
        f'<img class="t2-page" alt="Page {page} of the book" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}"></button>'
    )


def page_number(value: Any) -> int:
    """A page from the browser. Raises InputError for anything but a small whole number."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= 100_000:
        raise InputError("bad_page", "page: this is no page number.", "Choose a page from the list.")
    return number


def spread(
    studio: Studio, *, book_id: str, page: int, heading: str, words: str, where: str, marked: Sequence[str] = ()
) -> str:
    """Words on the left, the page that they stand on at the right. `marked`: sentences of `words` to point out."""
    quoted = markup.text(words)
    for sentence in marked:
        quoted = quoted.replace(markup.text(sentence), f"<mark>{markup.text(sentence)}</mark>")
    return (
        f'<div class="t2-spread"><div class="t2-words"><h3>{markup.text(heading)}</h3><p class="t2-muted">{markup.text(where)}</p>'
        f"<blockquote>{quoted}</blockquote></div>"
        f'<figure>{picture(studio, book_id, page)}<figcaption class="t2-muted">{markup.text(f"Page {page} of the PDF. Click to enlarge.")}</figcaption></figure></div>'
    )


def dialog(content: str) -> str:
    """`content` (markup) in a modal dialog that Escape closes."""
    return (
        '<dialog class="t2-dialog" aria-label="Page of the book"><button type="button" class="t2-button quiet t2-close" '
        f'data-close="1" autofocus>Close</button>{content}</dialog>'
    )
