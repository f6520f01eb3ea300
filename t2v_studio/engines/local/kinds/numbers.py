"""Numbers as they stand in diagrams."""

from __future__ import annotations


def number(value: float, decimals: int = 2) -> str:
    """Fixed decimals with a true minus sign; a rounded zero has no sign."""
    text = f"{value:.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if float(text) == 0 else "−" + text[1:]
    return text


def compact(value: float) -> str:
    """As few digits as a tick needs: 2, 0.5, −1.25; large ones with a power of ten."""
    if abs(value) >= 1e5:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa}·10^{int(power)}".replace("-", "−")
    return f"{round(value, 4):g}".replace("-", "−")


def readable(value: float) -> str:
    """Two decimals, or a power of ten where that would be long."""
    return number(value) if abs(value) < 1e4 else compact(value)


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def subscript(index: int) -> str:
    return str(index).translate(SUBSCRIPTS)
