"""Stands for the web app's process: runs a supervisor until it is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from t2v_studio.jobs.supervisor import Supervisor
from t2v_studio.settings import load_settings
from t2v_studio.workspace import Workspace

if __name__ == "__main__":
    settings = load_settings()
    command = [sys.executable, str(Path(__file__).with_name("probe_worker.py"))]
    Supervisor(settings, Workspace.at(settings.home), command).start()
    time.sleep(300)
