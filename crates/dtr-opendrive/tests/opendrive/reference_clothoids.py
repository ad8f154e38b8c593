"""Prints reference poses of clothoids. The Fresnel integrals are those of scipy.

Each line holds start curvature, rate, length, x, y and heading. `tests/opendrive/geometry.rs` holds the printed lines.
"""
import math
from scipy.special import fresnel

CASES = [
    (0.0, 0.001, 30.0), (0.0, -0.002, 50.0), (0.01, 0.0005, 40.0), (-0.02, 0.001, 60.0), (0.05, -0.0025, 25.0),
    (0.0, 1e-6, 500.0), (0.1, 0.02, 20.0), (0.002, -4e-5, 120.0), (-0.15, 0.03, 9.0), (0.0125, 0.00025, 200.0),
]
for start, rate, length in CASES:
    # Complete the square: the phase is rate/2 * (s + start/rate)^2 - start^2/(2 rate).
    sign = 1.0 if rate > 0 else -1.0
    scale = math.sqrt(math.pi / abs(rate))
    shift = start / rate
    s1, c1 = fresnel((length + shift) / scale)
    s0, c0 = fresnel(shift / scale)
    c, s = scale * (c1 - c0), sign * scale * (s1 - s0)
    phase = -start * start / (2.0 * rate)
    x = c * math.cos(phase) - s * math.sin(phase)
    y = c * math.sin(phase) + s * math.cos(phase)
    heading = start * length + rate * length * length / 2.0
    print(f"({start!r}, {rate!r}, {length!r}, {float(x)!r}, {float(y)!r}, {heading!r}),")
