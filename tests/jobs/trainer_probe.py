"""Stands for a module of the trainer: prints what its first argument asks for, as `training.video.estimate` would."""

from __future__ import annotations

import json
import sys
import time

from t2v_studio.errors import NotFoundError


def main() -> int:
    what = sys.argv[1]
    if what == "error":
        error = NotFoundError("no_data", "dataset: there is no such set.", "Name one.")
        sys.stdout.write(json.dumps({"error": error.as_dict() | {"type": "NotFoundError"}}) + "\n")
        return 1
    if what == "crash":
        raise RuntimeError("a part of the model is missing")
    if what == "hang":
        time.sleep(600)
    sys.stdout.write("a library says hello\n" + json.dumps({"heard": sys.stdin.read()}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
