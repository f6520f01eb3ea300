"""The browser's own player over the file itself.

gr.Video copies each file into a cache before it is shown, and in Gradio 6.31 it comes up empty when its
tab is opened after the value was set; a <video> element does neither, and brings subtitles and keyboard.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from t2v_studio.production.record import VideoRecord
from t2v_studio.studio import Studio
from t2v_studio.ui import markup


def media(studio: Studio, record: VideoRecord) -> dict[str, Path]:
    """The files of a video that are there, by their names in the record; none outside its own folder."""
    folder = studio.video_folder(record.id).resolve()
    found = {name: (folder / file).resolve() for name, file in record.files.items()}
    return {name: path for name, path in found.items() if path.is_file() and path.is_relative_to(folder)}


def address(path: Path) -> str:
    """Where the page finds a file of the served folders; relative, so that a prefix before the app does no harm."""
    return f"gradio_api/file={quote(str(path))}"


def film(studio: Studio, record: VideoRecord, label: str) -> str:
    """The player with poster and subtitles, as markup."""
    files = media(studio, record)
    if "video" not in files:
        return markup.notice("The video file is gone.", "Make it again from its settings.", "warn")
    poster = f' poster="{markup.text(address(files["poster"]))}"' if "poster" in files else ""
    # The local engine writes the words of each step into the picture: there, subtitles wait for a click.
    shown = "" if all(scene.engine == "local" for scene in record.scenes) else " default"
    words = (
        f'<track kind="subtitles" srclang="en" label="Subtitles"{shown} src="{markup.text(address(files["vtt"]))}">'
        if "vtt" in files
        else ""
    )
    return (
        f'<video class="t2-film" controls playsinline preload="metadata" aria-label="{markup.text(label)}"{poster} '
        f'src="{markup.text(address(files["video"]))}">{words}</video>'
    )
