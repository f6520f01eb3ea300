"""Pixels in, files out: encode, decode, subtitles, verdicts and still pictures."""
