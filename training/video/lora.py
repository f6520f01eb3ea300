"""The adapter on the frozen base: fp32 weights under a bf16 forward, checkpointed blocks, a quantised base by option."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.errors import InputError, UnavailableError

if TYPE_CHECKING:
    import torch

NAME = "default"


def add_adapter(transformer: Any, recipe: Recipe, family: Family) -> list[torch.nn.Parameter]:
    """Freeze the base, add a LoRA y = Wx + (alpha / r) B(Ax), and return its parameters, in fp32.

    A is drawn Kaiming-uniform from the recipe's seed, B is 0, so the first output is the base's
    (Hu et al. 2021). Raises InputError where a target names no layer.
    """
    import torch
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    targets = list(recipe.targets or family.lora_targets)
    check_targets(transformer, targets)
    transformer.requires_grad_(False)
    torch.manual_seed(recipe.seed)
    transformer.add_adapter(
        LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.lora_dropout, target_modules=targets),
        adapter_name=NAME,
    )
    cast_training_params(transformer, dtype=torch.float32)
    return [parameter for parameter in transformer.parameters() if parameter.requires_grad]


def check_targets(transformer: Any, targets: Sequence[str]) -> None:
    """Raise InputError, with the layers there are, for a target that names none."""
    import torch

    names = [name for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            kinds = sorted({_without_block(name) for name in names if "blocks." in name})
            raise InputError("bad_target", f"targets: no layer is called {target}.", f"There are: {', '.join(kinds)}.")


def _without_block(name: str) -> str:
    parts = name.split(".")
    place = next((index for index, part in enumerate(parts) if part.isdecimal()), -1)
    return ".".join(parts[place + 1 :][-3:])


def adapter_state(transformer: Any) -> dict[str, torch.Tensor]:
    """The adapter's weights with PEFT's names, on the CPU."""
    from peft.utils import get_peft_model_state_dict

    found = get_peft_model_state_dict(transformer, adapter_name=NAME)
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in found.items()}


def load_adapter_state(transformer: Any, state: dict[str, torch.Tensor]) -> None:
    """Put weights in that `adapter_state` gave out. Raises InputError where they do not fit."""
    from peft.utils import set_peft_model_state_dict

    wanted = adapter_state(transformer)
    if {name: tensor.shape for name, tensor in wanted.items()} != {name: one.shape for name, one in state.items()}:
        raise InputError(
            "adapter_wrong_shape",
            "The adapter to go on from has other layers or another rank than this recipe.",
            "Use the rank and the targets of its training.",
        )
    set_peft_model_state_dict(transformer, state, adapter_name=NAME)


def keep_float32(transformer: Any, names: Iterable[str]) -> list[str]:
    """Run the modules that stay in float32 outside of autocast, which would turn their matmuls into bf16.

    diffusers loads them in float32 (`_keep_in_fp32_modules`) because bf16 time steps are too coarse.
    Returns the names of the modules that were found. Parameters and norms need nothing: autocast leaves them.
    """
    import torch

    found = []
    for name, module in transformer.named_modules():
        if name.split(".")[-1] in names and any(isinstance(one, torch.nn.Linear) for one in module.modules()):
            module.forward = _outside_autocast(module.forward)
            found.append(name)
    return found


def _outside_autocast(forward: Any) -> Any:
    import functools

    import torch

    @functools.wraps(forward)
    def exact(*args: Any, **kwargs: Any) -> Any:
        kind = next((one.device.type for one in args if isinstance(one, torch.Tensor)), "cpu")
        with torch.autocast(kind, enabled=False):
            return forward(*args, **kwargs)

    return exact


def checkpoint_blocks(transformer: Any, every: int) -> int:
    """Compute every n-th block again in the backward pass; 0 keeps all activations. Returns how many.

    Not re-entrant, so frozen inputs need no trick (notes 2.13). The state of the random numbers is
    kept only where the adapter's dropout needs it.
    """
    if not every:
        return 0
    import torch
    from torch.utils.checkpoint import checkpoint

    places = {id(block): index for blocks in _block_lists(transformer) for index, block in enumerate(blocks)}
    dropout = any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in transformer.modules())

    def run(block: Any, *args: Any) -> Any:
        if places.get(id(block), 0) % every:
            return block(*args)
        return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=dropout)

    transformer.enable_gradient_checkpointing(run)
    return sum(place % every == 0 for place in places.values())


def _block_lists(transformer: Any) -> list[Any]:
    import torch

    return [
        child
        for name, child in transformer.named_children()
        if isinstance(child, torch.nn.ModuleList) and name.endswith("blocks")
    ]


def quantise(transformer: Any, how: str, device: str) -> int:
    """Hold the frozen linear layers of the blocks in 8 or 4 bits (bitsandbytes). Returns how many there are.

    int8: LLM.int8 (Dettmers et al. 2022); nf4: QLoRA (2023). Raises UnavailableError without bitsandbytes.
    """
    if how == "none":
        return 0
    try:
        import bitsandbytes
    except ImportError as error:
        raise UnavailableError(
            "no_bitsandbytes", f"base_quantised: {how} needs bitsandbytes.", "pip install bitsandbytes"
        ) from error
    import torch

    count = 0
    for blocks in _block_lists(transformer):
        for parent in list(blocks.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is torch.nn.Linear:
                    setattr(parent, name, _quantised(bitsandbytes.nn, child, how).to(device))
                    count += 1
    return count


def _quantised(layers: Any, linear: torch.nn.Linear, how: str) -> Any:
    import torch

    bias = linear.bias is not None
    if how == "int8":
        made = layers.Linear8bitLt(linear.in_features, linear.out_features, bias=bias, has_fp16_weights=False)
        made.weight = layers.Int8Params(linear.weight.data.clone(), requires_grad=False, has_fp16_weights=False)
    else:
        made = layers.Linear4bit(
            linear.in_features, linear.out_features, bias=bias, compute_dtype=torch.bfloat16, quant_type="nf4"
        )
        made.weight = layers.Params4bit(linear.weight.data.clone(), requires_grad=False, quant_type="nf4")
    if bias:
        made.bias = torch.nn.Parameter(linear.bias.data.clone(), requires_grad=False)
    return made


def optimiser_for(parameters: Sequence[torch.nn.Parameter], recipe: Recipe) -> Any:
    """AdamW in one kernel for all weights, or its 8-bit form. Raises UnavailableError without bitsandbytes."""
    import torch

    chosen: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "betas": (recipe.beta1, recipe.beta2),
        "weight_decay": recipe.weight_decay,
    }
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **chosen)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UnavailableError(
            "no_bitsandbytes", "optimiser: adamw8bit needs bitsandbytes.", "pip install bitsandbytes"
        ) from error
    return AdamW8bit(parameters, **chosen)
