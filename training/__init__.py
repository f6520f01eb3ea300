"""Training, started as commands (`python -m training.video.run`), never imported by the studio."""
