"""How an adapter leaves: merged into 16 bits alone, through llama.cpp's converter, with Modelfile and card, to the hub."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from text_rows import small

from t2v_studio.adapters import text_push
from t2v_studio.adapters.catalogue import adapter
from t2v_studio.adapters.runs import create_run
from t2v_studio.adapters.text_adapters import adopt_text, peft_folder
from t2v_studio.adapters.text_card import model_card
from t2v_studio.errors import InputError, StudioError, UnavailableError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace
from training.text import merge
from training.text.base import Base, base_of
from training.text.llama_cpp import convert
from training.text.modelfile import frame_of, modelfile, stops
from training.text.run import work
from training.text.session import TextSession, open_text_session

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
WITH_A_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def trained(settings: Settings, place: Workspace, tiny_models: Path, tmp_path: Path) -> Callable[..., str]:
    """Puts a drawn adapter of a tiny model into the catalogue, without a training, and gives its id."""

    def make(family: str = "llama", **fields: Any) -> str:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(5)
        base = AutoModelForCausalLM.from_pretrained(tiny_models / f"tiny-{family}")
        model = get_peft_model(
            base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        )
        folder = tmp_path / f"peft-{family}"
        model.save_pretrained(folder)
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = f"tiny-{family}"
        (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        more = {
            "name": "Circle writer",
            "base_model": f"tiny-{family}",
            "license": "Apache-2.0",
            "metrics": {"val_loss": 1.5},
        }
        return adopt_text(place, folder, family, **more | fields).id

    return make


@pytest.fixture
def exporting(settings: Settings, place: Workspace) -> Callable[..., TextSession]:
    """A session that exports an adapter, as the desk makes it."""

    def make(adapter_id: str, target: str, folder: Path, family: str = "llama", **options: Any) -> TextSession:
        recipe = small(model=f"tiny-{family}", system='You draw "circles".')
        wish = {"target": target, "folder": str(folder), "options": options}
        run = create_run(place, recipe, "", kind="check", adapter=adapter_id, export=wish)
        return open_text_session(run, settings, place)

    return make


def test_a_merged_model_answers_as_base_and_adapter(
    trained: Callable[..., str], exporting: Callable[..., TextSession], tmp_path: Path
) -> None:
    result = work(exporting(trained(), "merged", tmp_path / "out"), "export")[0]
    folder = Path(result["files"][0]["path"])
    assert folder == tmp_path / "out" / "merged" and (folder / "tokenizer.json").is_file()
    assert result["files"][0]["bytes"] > 100_000 and "differ by" in result["notes"][0]


def test_a_base_of_four_bits_is_never_merged_into(place: Workspace, settings: Settings, tmp_path: Path) -> None:
    base = base_of("tiny-llama", settings)
    held = Base(
        "qwen3-4b-bnb", "x", base.folder, "llama", base.config | {"quantization_config": {"load_in_4bit": True}}
    )
    with pytest.raises(InputError) as error:
        merge.merge(held, tmp_path, tmp_path / "merged")
    assert error.value.code == "merge_quantised" and "16-bit" in error.value.hint


def test_a_merge_that_changes_the_answers_is_thrown_away(
    trained: Callable[..., str], place: Workspace, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = peft_folder(place, adapter(place, trained()), tmp_path / "peft")
    monkeypatch.setattr(merge, "MOST_DIFFERENCE", {"float32": -1.0})
    with pytest.raises(StudioError, match="answers otherwise"):
        merge.merge(base_of("tiny-llama", settings), folder, tmp_path / "merged")
    assert not list(tmp_path.glob("*merged*"))


def test_gguf_and_modelfile_lie_side_by_side(
    trained: Callable[..., str], exporting: Callable[..., TextSession], tmp_path: Path
) -> None:
    result = work(exporting(trained("qwen3"), "modelfile", tmp_path / "out", "qwen3"), "export")[0]
    names = [Path(one["path"]).name for one in result["files"]]
    assert names == ["Modelfile", "circle-writer-lora.gguf"] and "base.gguf" in result["notes"][0]
    text = (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8")
    assert "FROM ./base.gguf\nADAPTER ./circle-writer-lora.gguf\n" in text
    assert 'SYSTEM """You draw "circles"."""' in text and 'PARAMETER stop "<|im_end|>"' in text
    assert "PARAMETER temperature 0.7" in text and "PARAMETER num_ctx 4096" in text
    named = work(exporting(trained("qwen3"), "modelfile", tmp_path / "two", "qwen3", base="qwen3:4b"), "export")[0]
    assert named["notes"] == [] and "FROM qwen3:4b\n" in (tmp_path / "two" / "Modelfile").read_text(encoding="utf-8")


def written(template: str, system: str, prompt: str) -> str:
    """What Go's template writes before the answer: of its language, the three forms that ours use."""

    def conditional(match: re.Match[str]) -> str:
        yes, _, no = match[1].partition("{{ else }}")
        return yes if system else no

    text = re.sub(r"\{\{ if \.System \}\}(.*?)\{\{ end \}\}", conditional, template, flags=re.S)
    text = text.partition("{{ .Response }}")[0]
    return text.replace("{{ .System }}", system).replace("{{ .Prompt }}", prompt)


@pytest.mark.parametrize("chat_template", [None, LLAMA3, WITH_A_DEFAULT], ids=["chatml", "llama3", "default"])
@pytest.mark.parametrize("system", ["", "You draw."])
@pytest.mark.parametrize("puts_first", [True, False])
def test_ollamas_template_writes_what_the_models_own_does(
    tiny_models: Path, chat_template: str | None, system: str, puts_first: bool
) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_models / "tiny-llama")
    tokenizer.bos_token = "<|im_start|>"
    single = "<|im_start|> $A" if puts_first else "$A"
    known = [("<|im_start|>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=known)
    tokenizer.chat_template = chat_template or tokenizer.chat_template
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "Draw a circle."})
    own = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    frame = frame_of(tokenizer)
    assert written(frame.go, system, "Draw a circle.") == (own.removeprefix("<|im_start|>") if puts_first else own)
    end = "<|eot_id|>" if chat_template == LLAMA3 else "<|im_end|>"
    assert stops(tokenizer, frame, ["<|end|>"]) == list(dict.fromkeys([end, "<|im_end|>", "<|end|>"]))
    assert frame.go.endswith(end)


def test_what_a_modelfile_cannot_hold_is_named(tiny_models: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_models / "tiny-llama")
    with pytest.raises(InputError, match="quotation marks"):
        modelfile(small(system='a """ b'), tokenizer, base="x")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | lower }}{% endfor %}"
    with pytest.raises(InputError, match="rewrites"):
        frame_of(tokenizer)


def converter(folder: Path, body: str) -> Path:
    folder.mkdir()
    (folder / "convert_hf_to_gguf.py").write_text(
        "import argparse, sys\np = argparse.ArgumentParser()\np.add_argument('model')\np.add_argument('--outfile')\n"
        f"p.add_argument('--outtype')\na = p.parse_args()\n{body}\n",
        encoding="utf-8",
    )
    return folder


def test_llama_cpp_is_started_where_it_is_named(tmp_path: Path) -> None:
    body = "open(a.outfile, 'w').write(a.outtype)"
    checkout = converter(tmp_path / "llama.cpp", body)
    made = convert(tmp_path, tmp_path / "out.gguf", llama_cpp=checkout, outtype="f16")
    assert made.read_text(encoding="utf-8") == "f16" and sorted(tmp_path.glob(".*")) == []
    with pytest.raises(UnavailableError, match="llama-quantize"):
        convert(tmp_path, tmp_path / "k.gguf", llama_cpp=checkout, outtype="q4_k_m")
    tool = checkout / "build" / "bin" / "llama-quantize"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\nprintf "%s of " "$3" > "$2"\ncat "$1" >> "$2"\n', encoding="utf-8")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    made = convert(tmp_path, tmp_path / "k.gguf", llama_cpp=checkout, outtype="q4_k_m")
    assert made.read_text(encoding="utf-8") == "Q4_K_M of f16" and sorted(tmp_path.glob(".*")) == []


def test_what_keeps_llama_cpp_from_converting_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nothing says where it is") as error:
        convert(tmp_path, tmp_path / "a.gguf", llama_cpp=None)
    assert "T2V_LLAMA_CPP_PATH" in error.value.hint
    with pytest.raises(UnavailableError, match=r"holds no convert_hf_to_gguf\.py"):
        convert(tmp_path, tmp_path / "a.gguf", llama_cpp=tmp_path)
    with pytest.raises(InputError, match="q9"):
        convert(tmp_path, tmp_path / "a.gguf", llama_cpp=tmp_path, outtype="q9")
    broken = converter(tmp_path / "broken", "sys.exit('BPE pre-tokenizer was not recognized')")
    with pytest.raises(StudioError, match="pre-tokenizer was not recognized"):
        convert(tmp_path, tmp_path / "a.gguf", llama_cpp=broken)
    assert not (tmp_path / "a.gguf").exists()


def test_the_card_names_base_data_and_figures_and_no_path(trained: Callable[..., str], place: Workspace) -> None:
    card = adapter(place, trained())
    folder = place.adapter(card.id)
    (folder / "evaluation.json").write_text(
        json.dumps(
            {
                "columns": [{"name": "parse", "label": "parses"}],
                "rows": [{"who": "base", "parse": 0.25}, {"who": "LoRA", "parse": 0.5}],
                "notes": ["render: not asked for"],
                "samples": [{"who": "LoRA", "asked": "Draw", "answer": "Circle()", "fault": ""}],
            }
        ),
        encoding="utf-8",
    )
    text = model_card(place, card, "me/circles")
    assert text.startswith("---\nlibrary_name: peft\nbase_model: tiny-llama\nlicense: apache-2.0\n")
    for words in (
        "| LoRA | 0.5 |",
        "render: not asked for",
        "Circle()",
        "rank 4, alpha 8",
        "| val_loss | 1.5 |",
        "me/circles",
    ):
        assert words in text
    assert str(place.outputs.parent) not in text


class Hub:
    """The hub's interface, as far as it is called."""

    def __init__(self, *, private: bool = True, fails: str = "") -> None:
        self.private, self.fails, self.sent = private, fails, {}
        self.made: list[tuple[str, bool]] = []

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
        self.made.append((name, private))

    def repo_info(self, name: str) -> Any:
        return SimpleNamespace(private=self.private)

    def create_commit(self, name: str, adds: list[Any], *, commit_message: str) -> Any:
        if self.fails:
            raise OSError(self.fails)
        self.sent = {one.path_in_repo: one.path_or_fileobj for one in adds}
        return SimpleNamespace(commit_url=f"https://hub/{name}/commit/1")


def test_a_push_is_private_shown_first_and_never_tells_the_token(
    trained: Callable[..., str], place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = text_push.plan_push(place, trained(), "me/circles")
    shown = ready.as_dict()
    assert shown["private"] and set(shown["files"]) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    hub = Hub()
    monkeypatch.setattr(text_push, "hub", lambda token: hub)
    assert text_push.push(ready, "secret") == "https://hub/me/circles/commit/1"
    assert hub.made == [("me/circles", True)] and set(hub.sent) == set(shown["files"])
    monkeypatch.setattr(text_push, "hub", lambda token: Hub(private=False))
    with pytest.raises(StudioError, match="is public"):
        text_push.push(ready, "secret")
    monkeypatch.setattr(text_push, "hub", lambda token: Hub(fails="401 for secret"))
    with pytest.raises(StudioError, match=r"401 for \*\*\*"):
        text_push.push(ready, "secret")
    with pytest.raises(UnavailableError, match="HF_TOKEN"):
        text_push.push(ready, "")
    with pytest.raises(InputError, match="no name of a repository"):
        text_push.plan_push(place, ready.repo, "no-owner")
