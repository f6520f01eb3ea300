"""Seconds of a text training, ours and a bare TRL loop over the same rows, on a tiny random Llama.

    python tests/benchmarks/bench_text.py [--steps 40] [--rounds 2]

Process time of the training alone, imports left out; rounds are interleaved and medians told.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "training" / "text")]


def ours(home: Path, steps: int) -> float:
    from text_rows import small, write_set

    from t2v_studio.adapters.runs import create_run
    from t2v_studio.settings import Settings
    from t2v_studio.workspace import Workspace
    from training.text.run import work
    from training.text.session import open_text_session

    place = Workspace.at(home)
    run = create_run(place, small(steps=steps, save_every=steps, validate_every=steps), write_set(home / "set", 32, 2))
    session = open_text_session(run, Settings(home=home, _env_file=None), place)
    began = time.process_time()
    work(session)
    return time.process_time() - began


def bare(home: Path, steps: int) -> float:
    """Nothing but TRL: no log of ours, no checks, no checkpoint."""
    from datasets import Dataset
    from peft import LoraConfig
    from text_rows import write_set
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    folder = home / "data" / "cache" / "models" / "tiny-llama"
    lines = (write_set(home / "set", 32, 2) / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{key: json.loads(line)[key] for key in ("prompt", "completion")} for line in lines]
    arguments: dict[str, Any] = {
        "max_steps": steps, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "use_cpu": True, "bf16": False,
        "report_to": "none", "save_strategy": "no", "gradient_checkpointing": False, "disable_tqdm": True,
    }  # fmt: skip
    began = time.process_time()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        args=SFTConfig(output_dir=str(home / "bare"), logging_steps=steps, **arguments),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.train()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        ours(home, 1)  # imports, and the tiny model
        bare(home, 1)
        found: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(asked.rounds):
            found["ours"].append(ours(home, asked.steps))
            found["bare"].append(bare(home, asked.steps))
    for who, seconds in found.items():
        sys.stdout.write(f"{who}: {statistics.median(seconds):.2f} CPU s for {asked.steps} steps\n")


if __name__ == "__main__":
    main()
