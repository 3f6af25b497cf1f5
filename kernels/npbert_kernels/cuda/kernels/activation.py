"""Activations on float32 in registers. libdevice's erf, exp and tanh are within 2 units in the last place."""

from __future__ import annotations

import math

from .device import primitives as d

ROOT_HALF, ROOT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2.0 / math.pi)


def none(x):
    return x


def gelu_erf(x):
    return d.f32(0.5) * x * (d.f32(1) + d.erf(x * d.f32(ROOT_HALF)))


def gelu_tanh(x):
    cube = d.f32(0.044715) * x * x * x
    return d.f32(0.5) * x * (d.f32(1) + d.tanh(d.f32(ROOT_2_OVER_PI) * (x + cube)))


def relu(x):
    return d.select(x < d.f32(0), d.f32(0), x)  # NaN stays


def silu(x):
    return x / (d.f32(1) + d.exp(-x))


def tanh(x):
    return d.tanh(x)


def gelu_10(x):
    y = d.f32(0.5) * x * (d.f32(1) + d.erf(x * d.f32(ROOT_HALF)))
    return d.select(y > d.f32(10), d.f32(10), y)  # NaN stays


def quick_gelu(x):
    return x / (d.f32(1) + d.exp(d.f32(-1.702) * x))


def sigmoid(x):
    return d.f32(1) / (d.f32(1) + d.exp(-x))


def mish(x):
    y = d.exp(d.select(x > d.f32(20), d.f32(20), x))
    n = y * (y + d.f32(2))
    return x * (n / (n + d.f32(2)))


ACTIVATIONS = {
    name: d.device_function(function)
    for name, function in {
        None: none,
        "gelu_erf": gelu_erf,
        "gelu_tanh": gelu_tanh,
        "relu": relu,
        "silu": silu,
        "tanh": tanh,
        "gelu_10": gelu_10,
        "quick_gelu": quick_gelu,
        "mish": mish,
        "sigmoid": sigmoid,
    }.items()
}
