"""The head of the page: name, one line of state, the switch between light and dark."""

from __future__ import annotations

from t2v_studio.studio import Studio
from t2v_studio.ui import markup

THEME_SWITCH = """
element.addEventListener('click', (event) => {
  if (!event.target.closest('[data-theme-switch]')) return;
  const dark = document.body.classList.toggle('dark');
  try { localStorage.setItem('t2v-theme', dark ? 'dark' : 'light'); } catch (error) { /* private window */ }
});
try {
  const asked = new URLSearchParams(location.search).get('__theme');
  const kept = localStorage.getItem('t2v-theme');
  if (kept && !asked) document.body.classList.toggle('dark', kept === 'dark');
} catch (error) { /* private window */ }
"""


def state_line(studio: Studio) -> str:
    """The header with the state of this workspace and its engines."""
    return markup_of(_line(studio))


def _line(studio: Studio) -> str:
    """One line about this workspace and its engines."""
    books, videos = len(studio.books()), len(studio.videos(limit=1000))
    ready = [row["name"] for row in studio.engines() if row["ok"]]
    engines = f"engines: {', '.join(ready)}" if ready else "no engine is ready"
    name = studio.workspace.outputs.parent.name
    paused = " · workers stopped: run t2v doctor" if studio.health()["paused"] else ""
    return f"{name} · {markup.plural(books, 'book')} · {markup.plural(videos, 'video')} · {engines}{paused}"


def markup_of(line: str) -> str:
    return (
        '<div class="t2-header"><h1>T2V Studio</h1>'
        f'<span class="t2-state" title="{markup.text(line)}">{markup.text(line)}</span>'
        '<button type="button" class="t2-button quiet" data-theme-switch="1" aria-label="Switch between light and dark">'
        '<span aria-hidden="true">◐</span> Theme</button></div>'
    )
