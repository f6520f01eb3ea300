"""The Modelfile of an adapter for Ollama: template, system text, stop tokens, parameters.

Ollama's templates are Go's, a model's are Jinja's. Ours is read off the model's own: conversations with known
words are rendered, and what stands between the words is what the template writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import InputError

_S, _U, _A = "SYSTEMWORDS", "USERWORDS", "ANSWERWORDS"


@dataclass(frozen=True)
class Frame:
    """What a template writes around a conversation of one turn. plain: before the user's words without a system text."""

    before_system: str
    system_to_user: str
    plain: str
    after_user: str
    after_answer: str
    conditional: bool
    """Whether `plain` ends `system_to_user`, so that the system text can be left out without a trace."""

    @property
    def go(self) -> str:
        """The same as Go's template of Ollama."""
        before, middle, plain, after = (
            _literal(text) for text in (self.before_system, self.system_to_user, self.plain, self.after_user)
        )
        end = _literal(self.after_answer)
        if self.conditional:
            middle = _literal(self.system_to_user.removesuffix(self.plain))
            return (
                f"{{{{ if .System }}}}{before}{{{{ .System }}}}{middle}{{{{ end }}}}"
                f"{plain}{{{{ .Prompt }}}}{after}{{{{ .Response }}}}{end}"
            )
        return (
            f"{{{{ if .System }}}}{before}{{{{ .System }}}}{middle}{{{{ else }}}}{plain}{{{{ end }}}}"
            f"{{{{ .Prompt }}}}{after}{{{{ .Response }}}}{end}"
        )


def frame_of(tokenizer: Any) -> Frame:
    """Read a tokenizer's template. Raises InputError for one that rewrites the words or refuses a system text."""
    system, user = {"role": "system", "content": _S}, {"role": "user", "content": _U}
    answer = {"role": "assistant", "content": _A}
    full = _rendered(tokenizer, [system, user], ask=True)
    plain = _rendered(tokenizer, [user], ask=True)
    told = _rendered(tokenizer, [system, user, answer], ask=False)
    before_system, between, after_user = _cut(full, _S, _U)
    before_user, _ = _cut(plain, _U)
    _, after_answer = _cut(told, _A)
    return Frame(
        before_system, between, before_user, after_user, after_answer.rstrip("\n"), between.endswith(before_user)
    )


def _rendered(tokenizer: Any, messages: list[dict[str, str]], *, ask: bool) -> str:
    """The conversation as text, without the token that llama.cpp puts first by itself.

    It does so where the tokenizer does. Elsewhere a first token of that name is the template's own: SmolLM2 names
    <|im_start|>, with which each of its turns begins.
    """
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask, enable_thinking=False)
    except Exception as error:  # a template is a program: jinja raises what its author wrote
        raise InputError("chat_template", f"Modelfile: the chat template refuses a conversation ({error}).") from error
    return str(text).removeprefix(_put_first(tokenizer))


def _put_first(tokenizer: Any) -> str:
    """The token that a tokenizer puts before every text, or nothing."""
    first = tokenizer.bos_token_id
    return str(tokenizer.bos_token) if first is not None and tokenizer("x").input_ids[:1] == [first] else ""


def _cut(text: str, *words: str) -> list[str]:
    parts = []
    for word in words:
        part, found, text = text.partition(word)
        if not found:
            raise InputError(
                "chat_template", "Modelfile: the chat template rewrites what is said.", "Write TEMPLATE by hand."
            )
        parts.append(part)
    return [*parts, text]


def _literal(text: str) -> str:
    """Text as Go's template shows it unchanged."""
    return text.replace("{{", '{{ "{{" }}')


def stops(tokenizer: Any, frame: Frame, eos: list[str]) -> list[str]:
    """Texts that end an answer: what the template writes after one, and the model's own end tokens."""
    found = [frame.after_answer.strip(), tokenizer.eos_token or "", *eos]
    return list(dict.fromkeys(text for text in found if text))


def modelfile(recipe: TextRecipe, tokenizer: Any, *, base: str, adapter: str = "", eos: list[str] | None = None) -> str:
    """The Modelfile. base: a name of Ollama's library, or a GGUF file beside it; adapter: the GGUF of the LoRA."""
    frame = frame_of(tokenizer)
    lines = [
        f"# Made from the recipe {recipe.name}. Build it here with: ollama create {ollama_name(recipe.name)} -f Modelfile",
        f"FROM {base}",
    ]
    if adapter:
        lines.append(f"ADAPTER ./{adapter}")
    lines.append(f"TEMPLATE {_quoted(frame.go)}")
    if recipe.system:
        lines.append(f"SYSTEM {_quoted(recipe.system)}")
    lines += [f"PARAMETER stop {_in_line(text)}" for text in stops(tokenizer, frame, eos or [])]
    names = ("temperature", "top_p", "top_k", "repeat_penalty", "num_ctx", "num_predict")
    lines += [f"PARAMETER {name} {getattr(recipe, name):g}" for name in names]
    return "\n".join(lines) + "\n"


def ollama_name(name: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name.lower())
    return kept.strip("-_.") or "adapter"


def _quoted(text: str) -> str:
    if '"""' in text:
        raise InputError("modelfile_quotes", 'Modelfile: three quotation marks (""") cannot be written in it.')
    return f'"""{text}"""'


def _in_line(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
