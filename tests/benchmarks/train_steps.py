"""CPU seconds a training step: ours, a bare diffusers and peft loop, and DiffSynth-Studio where it is installed.

    python tests/benchmarks/train_steps.py [--steps 200] [--diffsynth PYTHON] [--width 128] [--blocks 4] [--clip 1.0]
    python tests/benchmarks/train_steps.py --gpu            full-size random Wan 1.3B on a CUDA card

Random Wan (128 wide, 4 blocks unless asked otherwise; 320 tokens, text 512 x 4096), rank 16 on q, k, v, o, batch 1, fp32,
one thread. DiffSynth never clips: --clip 0 takes that work from the other two.
Process time, because machines are shared. All rows run side by side, five steps each in turn; a ratio is the median of
the turns' ratios to the bare loop's turn beside it, which a slow minute of the machine does not move.

--diffsynth: Python of an environment of its own with diffsynth, einops and modelscope (pip install --no-deps) beside
torch and peft. Its imports of torchvision are given an empty stand-in, since none of it is used in a step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
WIDTH, BLOCKS, CLIP = 128, 4, 1.0
HEAD, TEXT, TOKENS = 32, 4096, 512
SHAPE = (1, 16, 5, 16, 16)
RANK, ALPHA, RATE = 16, 32, 1e-4
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


class Turns:
    """Steps are done when they are asked for: the parent writes how many, and is told the seconds of each.

    0 ends the worker's speed rows.
    """

    def __init__(self) -> None:
        self._left, self._taken, self._began = 0, [], 0.0

    def begin(self) -> None:
        if not self._left:
            self._left = int(sys.stdin.readline() or 0)
            if not self._left:
                raise EOFError
        self._began = time.process_time()

    def end(self) -> None:
        self._taken.append(time.process_time() - self._began)
        self._left -= 1
        if not self._left:
            tell({"cpu_s": self._taken})
            self._taken = []


@dataclass
class Worker:
    """A trainer in a process of its own. loop: calls begin and end around each step, for ever."""

    loop: Callable[[Turns], None]
    cache_bytes: int | None = None
    resume: Callable[[], bool] | None = None


def repeated(step: Callable[[], None]) -> Callable[[Turns], None]:
    def loop(turns: Turns) -> None:
        while True:
            turns.begin()
            step()
            turns.end()

    return loop


def transformer() -> Any:
    import torch
    from diffusers import WanTransformer3DModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=WIDTH // HEAD, attention_head_dim=HEAD, in_channels=16,
        out_channels=16, text_dim=TEXT, freq_dim=256, ffn_dim=4 * WIDTH, num_layers=BLOCKS, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=1024,
    )  # fmt: skip


def bare(folder: Path, checkpointing: bool) -> Worker:
    """The ceiling: nothing but diffusers, peft and a loop."""
    import torch
    from peft import LoraConfig

    model = transformer()
    model.requires_grad_(False)
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))
    if checkpointing:
        model.enable_gradient_checkpointing()
    model.train()
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=RATE)
    z, text = torch.randn(SHAPE), torch.zeros(1, TOKENS, TEXT)
    text[:, :64] = torch.randn(1, 64, TEXT)

    def step() -> None:
        eps = torch.randn(SHAPE)
        sigma = torch.sigmoid(torch.randn(1) + 1.0986)
        noisy = (1 - sigma) * z + sigma * eps
        out = model(hidden_states=noisy, timestep=1000 * sigma, encoder_hidden_states=text, return_dict=False)[0]
        torch.nn.functional.mse_loss(out, eps - z).backward()
        if CLIP:
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return Worker(repeated(step))


def compiled(folder: Path, checkpointing: bool) -> Worker:
    """The same with `compile_blocks` of the recipe: the first turn, which does not count, pays for it."""
    return ours(folder, checkpointing, compile_blocks=True)


def ours(folder: Path, checkpointing: bool, *, compile_blocks: bool = False) -> Worker:
    """The trainer's own loop, with its cache read from the disk, its log written and its numbers drawn by place."""
    from training.video.loggers import open_logger

    trainer, gauge = trainer_on(folder / "speed", checkpointing, compile_blocks=compile_blocks)
    logger = open_logger("none", trainer.part, trainer.recipe, "bench")

    def step() -> None:
        trainer._tell(trainer._optimiser_step(gauge), logger)

    cached = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return Worker(repeated(step), cached, lambda: resumes_alike(folder / "resume", checkpointing, compile_blocks))


def resumes_alike(folder: Path, checkpointing: bool, compile_blocks: bool) -> bool:
    """Whether 3 steps, a checkpoint, a new trainer and 3 more give the bits of 6 steps. (A test kills it at any step.)"""
    import torch

    from training.video import lora

    whole, gauge = trainer_on(folder / "whole", checkpointing, compile_blocks=compile_blocks)
    first, _ = trainer_on(folder / "broken", checkpointing, compile_blocks=compile_blocks)
    for _ in range(3):
        first._optimiser_step(gauge)
    first.save()
    second, _ = trainer_on(folder / "broken", checkpointing, first.session.run, compile_blocks=compile_blocks)
    for _ in range(6):
        whole._optimiser_step(gauge)
    for _ in range(3):
        second._optimiser_step(gauge)
    states = [lora.adapter_state(one.transformer) for one in (whole, second)]
    return second.step == 6 and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def diffsynth(folder: Path, checkpointing: bool) -> Worker:
    """DiffSynth's own task over its own Wan of the same shape, cached inputs; as it ships it does not clip."""
    import importlib.machinery
    import types

    class Named(type):
        def __getattr__(cls, name: str) -> str:
            if name.startswith("__"):
                raise AttributeError(name)
            return name

    class Anything(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Named(name, (), {})

    for name in ("", ".transforms", ".transforms.functional", ".models", ".models.inception", ".io", ".ops"):
        made = Anything(f"torchvision{name}")
        made.__path__ = []
        made.__spec__ = importlib.machinery.ModuleSpec(made.__name__, None)
        sys.modules[made.__name__] = made
    import torch
    from accelerate import Accelerator
    from diffsynth.diffusion.logger import ModelLogger
    from diffsynth.diffusion.loss import FlowMatchSFTLoss
    from diffsynth.diffusion.runner import launch_training_task
    from diffsynth.diffusion.training_module import DiffusionTrainingModule
    from diffsynth.models.wan_video_dit import WanModel
    from diffsynth.pipelines.wan_video import WanVideoPipeline

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Module(DiffusionTrainingModule):
        def __init__(self) -> None:
            super().__init__()
            self.pipe = WanVideoPipeline(device="cpu", torch_dtype=torch.float32)
            self.pipe.dit = WanModel(
                dim=WIDTH, in_dim=16, ffn_dim=4 * WIDTH, out_dim=16, text_dim=TEXT, freq_dim=256, eps=1e-6,
                patch_size=(1, 2, 2), num_heads=WIDTH // HEAD, num_layers=BLOCKS, has_image_input=False,
            )  # fmt: skip
            self.pipe = self.split_pipeline_units("sft:train", self.pipe, None, "dit")
            self.switch_pipe_to_training_mode(self.pipe, None, "dit", "q,k,v,o", lora_rank=RANK, task="sft:train")

        def forward(self, data: Any, inputs: Any = None) -> Any:
            inputs = self.transfer_data_to_device(inputs, self.pipe.device, self.pipe.torch_dtype)
            for unit in self.pipe.units:
                inputs = self.pipe.unit_runner(unit, self.pipe, *inputs)
            shared, positive, _ = inputs
            return FlowMatchSFTLoss(self.pipe, **shared, **positive)

    text = torch.zeros(1, TOKENS, TEXT)
    text[:, :64] = torch.randn(1, 64, TEXT)
    shared = {
        "input_latents": torch.randn(SHAPE), "height": 128, "width": 128, "num_frames": 17,
        "use_gradient_checkpointing": checkpointing, "use_gradient_checkpointing_offload": False, "cfg_scale": 1,
        "rand_device": "cpu", "cfg_merge": False, "vace_scale": 1,
    }  # fmt: skip
    item = (shared, {"context": text}, {})

    class Set(torch.utils.data.Dataset):
        load_from_cache = True

        def __len__(self) -> int:
            return 20_000

        def __getitem__(self, number: int) -> Any:
            return item

    class Told(ModelLogger):
        """Its loop cannot be called a step at a time, so its logger keeps the turns."""

        def __init__(self, turns: Turns) -> None:
            super().__init__(str(folder))
            self.turns = turns

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.turns.end()
            self.turns.begin()

    def loop(turns: Turns) -> None:
        turns.begin()
        launch_training_task(Accelerator(cpu=True), Set(), Module(), Told(turns), learning_rate=RATE, num_workers=0)

    return Worker(loop)


def trainer_on(folder: Path, checkpointing: bool, run: Any = None, *, compile_blocks: bool = False) -> Any:
    """A prepared Trainer over one cached clip, and its gauge. run: one that has a checkpoint to go on from."""
    import torch
    from accelerate import Accelerator

    from t2v_studio.adapters.recipe import Recipe
    from t2v_studio.adapters.runs import create_run
    from t2v_studio.datasets.rows import ManifestRow
    from t2v_studio.engines.diffusion.families.base import Source as Place
    from t2v_studio.engines.diffusion.families.registry import family
    from t2v_studio.settings import Settings
    from t2v_studio.workspace import Workspace
    from training.video import cache
    from training.video.buckets import Clip
    from training.video.hardware import Gauge
    from training.video.loop import Trainer
    from training.video.objective import Maths
    from training.video.rows import Source
    from training.video.session import Base, Session

    wan, workspace = family("wan"), Workspace.at(folder)
    recipe = Recipe(
        model="bench", dtype="fp32", latents_dtype="fp32", rank=RANK, alpha=ALPHA, lora_dropout=0, accumulation=1,
        schedule="constant", warmup_steps=0, learning_rate=RATE, checkpointing=int(checkpointing), workers=0,
        prompt_dropout=0, steps=100_000, flow_shift=3.0, clip_norm=CLIP, compile_blocks=compile_blocks,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    model = transformer()
    run = run or create_run(workspace, recipe, folder)
    base = Base("bench", "bench", "", wan, Place(folder))
    session = Session(Settings(home=folder, _env_file=None), workspace, run, recipe, base, Accelerator(cpu=True))
    row = ManifestRow(
        id="one", video_path="one.mp4", caption="a square", split="train", topic_tag="bench", family="one",
        sha256="0" * 64, frames=17, fps=16, width=128, height=128,
    )  # fmt: skip
    clip = Clip(Source(row, folder / "one.mp4"), (17, 128, 128), tuple(range(17)), 16.0)
    cache.write(session.cache.clip_file(clip), {"latents": torch.randn(SHAPE)}, session.cache.clip_header(clip))
    text, lengths = cache.trimmed(
        {"embeds": torch.cat([torch.randn(1, 64, TEXT), torch.zeros(1, TOKENS - 64, TEXT)], 1)}
    )
    cache.write(session.cache.text_file("a square"), text, session.cache.text_header("a square") | lengths)
    run.part().folder.mkdir(exist_ok=True)
    trainer = Trainer(session, run.part(), model, [clip], Maths(recipe, wan, {"num_train_timesteps": 1000}))
    trainer.prepare()
    return trainer, Gauge()


def tell(row: dict[str, Any]) -> None:
    os.write(TELL, (json.dumps(row) + "\n").encode())


def work(name: str, checkpointing: bool) -> None:
    """The process of one row: ready, its turns, then what else is known of it."""
    with tempfile.TemporaryDirectory() as place:
        worker = WORKERS[name](Path(place), checkpointing)
        tell({"start_s": time.process_time()})
        with contextlib.suppress(EOFError):
            worker.loop(Turns())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        resumed = worker.resume() if worker.resume else None
        tell({"peak_mib": round(peak), "cache_bytes": worker.cache_bytes, "resume": resumed})


class Row:
    """A worker's process, as the parent holds it."""

    def __init__(self, name: str, checkpointing: bool, python: str) -> None:
        self.name, self.checkpointing, self.seconds = name, checkpointing, []
        read, write = os.pipe()
        argv = [python, __file__, "--worker", name, "--tell", str(write)]
        argv += [f"--width={WIDTH}", f"--blocks={BLOCKS}", f"--clip={CLIP}"]
        argv += ["--checkpointing"] if checkpointing else []
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, pass_fds=[write]
        )
        os.close(write)
        self._said = os.fdopen(read)
        self.start_s = self._hear()["start_s"]

    def _hear(self) -> dict[str, Any]:
        line = self._said.readline()
        if not line:
            raise SystemExit(f"{self.name}: the worker ended with {self._process.wait()}")
        return json.loads(line)

    def turn(self, steps: int, *, count: bool = True) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        found = self._hear()["cpu_s"]
        if count:
            self.seconds += found

    def beside(self, other: Row) -> float:
        """The median of the turns' ratios to another row's."""
        turns = [
            [sum(row.seconds[at : at + A_TURN]) for at in range(0, len(row.seconds), A_TURN)] for row in (self, other)
        ]
        return statistics.median(mine / its for mine, its in zip(*turns, strict=True))

    def end(self) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.close()
        found = self._hear()
        self._process.wait()
        return found


WORKERS = {"ours": ours, "compiled": compiled, "bare": bare, "diffsynth": diffsynth}
TELL = 1
A_TURN = 5


def compare(steps: int, python: str) -> None:
    """The table: every row's turns in between the others', a warm-up of one turn before."""
    names = ["bare", "ours", "compiled", *(["diffsynth"] if python else [])]
    interpreter = {"diffsynth": python}
    for checkpointing in (False, True):
        rows = [Row(name, checkpointing, interpreter.get(name, sys.executable)) for name in names]
        for turn in range(1 + max(1, steps // A_TURN)):
            for row in rows[turn % len(rows) :] + rows[: turn % len(rows)]:
                row.turn(A_TURN, count=turn > 0)
        print("checkpointing" if checkpointing else "no checkpointing", f"({len(rows[0].seconds)} steps a row)")
        for row in rows:
            more, middle = row.end(), statistics.median(row.seconds)
            low, _, high = statistics.quantiles(row.seconds, n=4)
            cached = f", cache {more['cache_bytes']:,} bytes a clip" if more["cache_bytes"] else ""
            resume = {None: "keeps weights only", True: "same bits", False: "OTHER BITS"}[more["resume"]]
            print(
                f"  {row.name:10} {middle:.4f} CPU s a step (quartiles {low:.4f} to {high:.4f}), {row.beside(rows[0]):.3f}x bare, "
                f"peak {more['peak_mib']} MiB, start {row.start_s:.1f} CPU s, resume: {resume}{cached}"
            )


def main() -> None:
    global TELL, WIDTH, BLOCKS, CLIP
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--diffsynth", default="", metavar="PYTHON", help="Python of the environment that holds it.")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"A multiple of {HEAD}.")
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--clip", type=float, default=CLIP, help="0 does not clip.")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--worker", choices=sorted(WORKERS), help=argparse.SUPPRESS)
    parser.add_argument("--tell", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--checkpointing", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    WIDTH, BLOCKS, CLIP = asked.width, asked.blocks, asked.clip
    if asked.gpu:
        from train_gpu import gpu  # beside this file

        print(json.dumps(gpu(asked.steps or 60, RATE), indent=1))
    elif asked.worker:
        TELL = asked.tell
        work(asked.worker, asked.checkpointing)
    else:
        compare(asked.steps or 200, asked.diffsynth)


if __name__ == "__main__":
    main()
