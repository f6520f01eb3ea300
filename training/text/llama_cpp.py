"""llama.cpp's own programs, where their folder is named: a merged model to GGUF, and its quantisation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from t2v_studio.errors import InputError, LimitError, StudioError, UnavailableError

CONVERTER, QUANTISER = "convert_hf_to_gguf.py", "llama-quantize"
CONVERTED = ("f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0", "auto")
"""What the converter writes by itself."""
QUANTISED = ("q4_0", "q4_k_s", "q4_k_m", "q5_0", "q5_k_s", "q5_k_m", "q6_k", "q3_k_m", "q2_k")
"""What llama-quantize makes of an f16 file."""
LIMIT_S = 3600.0


def convert(model: Path, output: Path, *, llama_cpp: Path | None, outtype: str = "q8_0") -> Path:
    """A merged model's folder as `output`. Raises UnavailableError where llama.cpp is not here, StudioError with what it said."""
    outtype = outtype.lower()
    folder, quantiser = check(llama_cpp, outtype)
    part = output.with_name(f".{output.stem}.part.gguf")
    first = part if quantiser is None else output.with_name(f".{output.stem}.f16.gguf")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        kind = outtype if quantiser is None else "f16"
        _run([sys.executable, str(folder / CONVERTER), str(model), "--outfile", str(first), "--outtype", kind], folder)
        if quantiser is not None:
            _run([str(quantiser), str(first), str(part), outtype.upper()], folder)
        if not part.is_file():
            raise StudioError("converter_failed", "llama.cpp's converter ended well but wrote no file.")
        part.replace(output)
    finally:
        for path in (part, first):
            path.unlink(missing_ok=True)
    return output


def check(llama_cpp: Path | None, outtype: str) -> tuple[Path, Path | None]:
    """The checkout, and llama-quantize where `outtype` needs it: asked before anything long begins."""
    if outtype.lower() not in (*CONVERTED, *QUANTISED):
        raise InputError(
            "bad_outtype", f"outtype: {outtype} is not known.", f"One of: {', '.join((*CONVERTED, *QUANTISED))}."
        )
    folder = _folder(llama_cpp)
    return folder, _quantiser(folder) if outtype.lower() in QUANTISED else None


def _folder(named: Path | None) -> Path:
    if named is None:
        raise UnavailableError(
            "no_llama_cpp",
            "merged_gguf: llama.cpp's converter is needed, and nothing says where it is.",
            "Set T2V_LLAMA_CPP_PATH to a checkout of llama.cpp, or give --llama-cpp. The adapter alone needs none: gguf.",
        )
    folder = Path(named).expanduser()
    if not (folder / CONVERTER).is_file():
        raise UnavailableError(
            "no_llama_cpp", f"merged_gguf: {folder} holds no {CONVERTER}.", "Name the root of a checkout of llama.cpp."
        )
    return folder


def _quantiser(folder: Path) -> Path:
    for path in (folder / "build" / "bin" / QUANTISER, folder / QUANTISER):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = shutil.which(QUANTISER)
    if found is None:
        raise UnavailableError(
            "no_quantiser",
            f"outtype: this one is made by {QUANTISER}, which is not built in {folder.name}.",
            "Build llama.cpp (cmake -B build && cmake --build build), or take f16 or q8_0.",
        )
    return Path(found)


def _run(argv: list[str], folder: Path) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(folder / "gguf-py")}
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise LimitError("too_slow", f"{Path(argv[-1]).name}: llama.cpp was not ready in an hour.") from error
    except OSError as error:
        raise UnavailableError("no_llama_cpp", f"llama.cpp cannot be started ({error.strerror}).") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise StudioError(
            "converter_failed",
            f"llama.cpp's program failed: {said[-1][:300] if said else 'it said nothing'}",
            "Its needs stand in requirements/ of its checkout; the merged model itself is whole.",
        )
