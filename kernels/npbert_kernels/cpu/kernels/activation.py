"""Activations and the exponential on vectors, as polynomials and ratios of them.

The coefficients are fits of this project's own (kernels/fit.py makes them). Errors, against float64 over all of
float32's range where nothing else is said: exponential 2 ulp on [-87, 87]; gelu_erf 2.2e-7 max(1, |x|);
gelu_tanh, silu, quick_gelu and mish 3e-7 max(1, |x|); sigmoid 3e-7; tanh 5 ulp, and never beyond 1; gelu_10 as
gelu_erf. Without fused multiply-add gelu_erf 3e-7 and tanh 6 ulp. tests/kernels/test_activation.py holds them to it.
A NaN stays one: a clamp has its limit first, since minimum and maximum give the second operand for a NaN.
"""

from __future__ import annotations

from ..layout import ACTIVATION_CODES
from .simd import BYTES, broadcast, fma, inlined, kernel, load, maximum, minimum, round_even, store, times_power_of_two

LOG2_E = 1.44269502
LN2, LN2_REST = 0.693359375, -2.12194440e-4  # log(2) in two parts: whole multiples of the first are exact
GELU_ERF, GELU_TANH, RELU, SILU, TANH, GELU_10, QUICK_GELU, MISH, SIGMOID = (
    ACTIVATION_CODES[name]
    for name in ("gelu_erf", "gelu_tanh", "relu", "silu", "tanh", "gelu_10", "quick_gelu", "mish", "sigmoid")
)


@inlined
def _power(n, f):
    """2 ** (n + f) for whole n in [-126, 127] and f in [-1/2, 1/2]."""
    p = fma(f, 0.00015353362, 0.00133988739)
    p = fma(p, f, 0.00961843692)
    p = fma(p, f, 0.0555033237)
    p = fma(p, f, 0.240226477)
    p = fma(p, f, 0.693147182)
    return times_power_of_two(fma(p, f, 1.0), n)


@inlined
def power_of_two(t):
    """2 ** t for t up to 126; t below -126 counts as -126."""
    t = maximum(-126.0, t)
    n = round_even(t)
    return _power(n, t - n)


@inlined
def exponential(x):
    """e ** x; x below -87 counts as -87, above 87 as 87."""
    x = minimum(87.0, maximum(-87.0, x))
    n = round_even(x * LOG2_E)
    rest = fma(n, -LN2_REST, fma(n, -LN2, x))  # near 0: no digit is lost without fused multiply-add
    return _power(n, rest * LOG2_E)


@inlined
def gelu_erf(x):
    """x (1 + erf(x / sqrt 2)) / 2 as x (1/2 + x p(x^2) / q(x^2)); beyond 5.5 it is x or, to 3e-8 |x|, 0."""
    z = minimum(5.5, maximum(-5.5, x))
    t = z * z
    p = fma(t, 2.22251924e-08, 6.5135946e-06)
    q = fma(t, 1.19434924e-06, 7.82354109e-05)
    p = fma(p, t, 0.000181880212)
    q = fma(q, t, 0.00195716694)
    p = fma(p, t, 0.00475593377)
    q = fma(q, t, 0.0293483604)
    p = fma(p, t, 0.03505674)
    q = fma(q, t, 0.254538178)
    p = fma(p, t, 0.398942053)
    q = fma(q, t, 1.0)
    return x * fma(z, p / q, 0.5)


@inlined
def silu(x):
    """x / (1 + e^-x)"""
    return x / (exponential(x * -1.0) + 1.0)


@inlined
def gelu_10(x):
    return minimum(10.0, gelu_erf(x))


@inlined
def quick_gelu(x):
    """x / (1 + e^-1.702x)"""
    return x / (exponential(x * -1.702) + 1.0)


@inlined
def sigmoid(x):
    """1 / (1 + e^-x). The only one that makes something of 0."""
    return broadcast(1.0) / (exponential(x * -1.0) + 1.0)


@inlined
def mish(x):
    """x tanh(log(1 + y)) = x n / (n + 2) with y = e^x and n = y (y + 2); from 20 on it is x."""
    y = exponential(minimum(20.0, x))
    n = y * (y + 2.0)
    return x * (n / (n + 2.0))


@inlined
def gelu_tanh(x):
    """x (1 + tanh u) / 2 = x / (1 + e^-2u) with u = sqrt(2 / pi) (x + 0.044715 x^3)"""
    square = x * x
    u = x * fma(square, 0.044715 * 0.7978845608028654 * -2.0, 0.7978845608028654 * -2.0)
    return x / (exponential(u) + 1.0)


@inlined
def relu(x):
    return maximum(0.0, x)


@inlined
def tanh(x):
    """x p(x^2) / q(x^2); beyond 9 it is 1 in float32, to within the error, and the ratio may round above it."""
    x = minimum(9.0, maximum(-9.0, x))
    t = x * x
    p = fma(t, 1.33546667e-08, 2.06090863e-05)
    q = fma(t, 7.77656055e-07, 0.000328563503)
    p = fma(p, t, 0.0034955882)
    q = fma(q, t, 0.0258769821)
    p = fma(p, t, 0.133810252)
    q = fma(q, t, 0.467143416)
    p = fma(p, t, 1.0)
    q = fma(q, t, 1.0)
    return minimum(1.0, maximum(-1.0, x * (p / q)))


@inlined
def each(function, c, ldc, rows):
    """Apply a function to each vector of a micro-tile."""
    for i in range(rows):
        at = c + i * ldc
        store(at, function(load(at)))
        store(at + BYTES, function(load(at + BYTES)))


@kernel
def activate(c, ldc, rows, code):
    """In place on a micro-tile, which the first-level cache still holds."""
    if code == GELU_ERF:
        each(gelu_erf, c, ldc, rows)
    elif code == GELU_TANH:
        each(gelu_tanh, c, ldc, rows)
    elif code == RELU:
        each(relu, c, ldc, rows)
    elif code == SILU:
        each(silu, c, ldc, rows)
    elif code == TANH:
        each(tanh, c, ldc, rows)
    elif code == GELU_10:
        each(gelu_10, c, ldc, rows)
    elif code == QUICK_GELU:
        each(quick_gelu, c, ldc, rows)
    elif code == MISH:
        each(mish, c, ldc, rows)
    else:
        each(sigmoid, c, ldc, rows)
