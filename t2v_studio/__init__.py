"""T2V Studio: a textbook and a topic go in, a short cited explainer video comes out."""

__version__ = "0.1.0"
