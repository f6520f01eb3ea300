"""The web app's entry, on a desk (`python app.py`) and on a Hugging Face Space."""

from __future__ import annotations

import sys

from t2v_studio.errors import StudioError
from t2v_studio.settings import load_settings


def main() -> int:
    """Serve until interrupted. A setting that cannot be used is named, with what to do, and the exit code says so."""
    from t2v_studio.ui.app import serve

    try:
        serve(load_settings())
    except StudioError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return error.exit_code
    return 0


# Workers are spawned and import this file again: only the first process may serve.
if __name__ == "__main__":
    sys.exit(main())
