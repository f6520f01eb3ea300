"""LoRA training of Wan, CogVideoX and LTX: cache latents, cache text, train, check, export."""
