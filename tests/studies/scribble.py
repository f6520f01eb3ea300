"""A child process: one examiner who edits at random until somebody kills it.

    python scribble.py HOME RATER SEED COUNT

Each event is told on stdout when it is sent (S) and when the desk has answered (A): uuid, assignment, side,
criterion, value, revision.
"""

from __future__ import annotations

import random
import sys
import uuid
from pathlib import Path

from raters import KEYS, desk_at


def main(home: str, rater: str, seed: str, count: str) -> None:
    desk, draw = desk_at(Path(home)), random.Random(seed)
    screens = [desk.screen(rater, position)["assignment"] for position in (0, 1)]
    for _ in range(int(count)):
        side, criterion = draw.choice(["left", "right"]), draw.choice(KEYS)
        value = draw.choice([1, 2, 3, 4, 5, None])
        event = {
            "uuid": str(uuid.UUID(int=random.SystemRandom().getrandbits(128), version=4)),
            "assignment": draw.choice(screens),
            "side": side,
            "criterion": criterion,
            "value": value,
            "cannot_judge": value is None and draw.random() < 0.5,
        }
        place = f"{event['assignment']} {side} {criterion}"
        print("S", event["uuid"], place, value, flush=True)
        answer = desk.save(rater, [event])
        assert not answer["conflicts"]
        print("A", event["uuid"], place, value, answer["revisions"][event["uuid"]], flush=True)
    print("DONE", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
