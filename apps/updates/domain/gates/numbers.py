"""Logarithms that are the same on every machine.

The decimal module rounds `ln` and the four operations correctly to a given number of digits, so
unlike binary floats, whose `log` is the C library's, no result depends on the machine.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from math import factorial

# Far more digits than any comparison needs; traps and rounding do not depend on the caller.
CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN)
# From here Stirling's series with the terms below is exact to more than 40 digits.
STIRLING_FROM = 512
# The Bernoulli numbers B2, B4 … B18, each divided by 2k (2k - 1).
STIRLING_TERMS = (
    Fraction(1, 12),
    Fraction(-1, 360),
    Fraction(1, 1260),
    Fraction(-1, 1680),
    Fraction(1, 1188),
    Fraction(-691, 360360),
    Fraction(1, 156),
    Fraction(-3617, 122400),
    Fraction(43867, 244188),
)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097")


def ln(value: Decimal | int) -> Decimal:
    """The natural logarithm of a positive number, to 50 digits."""
    return CONTEXT.ln(Decimal(value))


def ln_ratio(value: Fraction) -> Decimal:
    """The natural logarithm of a positive fraction, to about 50 digits."""
    return CONTEXT.subtract(ln(value.numerator), ln(value.denominator))


@lru_cache(maxsize=65_536)
def ln_factorial(number: int) -> Decimal:
    """ln(n!), by Stirling's series where n is large (Abramowitz and Stegun 6.1.41)."""
    if number < STIRLING_FROM:
        return ln(factorial(number))
    total = _stirling_head(number)
    for index, term in enumerate(STIRLING_TERMS):
        divisor = Decimal(term.denominator * number ** (2 * index + 1))
        total = CONTEXT.add(total, CONTEXT.divide(Decimal(term.numerator), divisor))
    return total


def _stirling_head(number: int) -> Decimal:
    """n ln n - n + ln(2 pi n) / 2."""
    logarithm = ln(number)
    head = CONTEXT.subtract(CONTEXT.multiply(Decimal(number), logarithm), Decimal(number))
    root = CONTEXT.divide(ln(CONTEXT.multiply(2 * PI, Decimal(number))), Decimal(2))
    return CONTEXT.add(head, root)
