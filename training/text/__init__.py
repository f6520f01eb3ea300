"""A LoRA of a small language model, by TRL: `python -m training.text.run FOLDER`."""
