"""Hit rates of a workload at every capacity, without moving a byte.

A workload is two arrays: request r looks up ids[offsets[r]:offsets[r + 1]], all against the state before it.
"""

from kvscen.predict.curve import HitCurve, Hits, lru_curve
from kvscen.predict.replay import Replayed, curve_at, replay
from kvscen.predict.sample import Sample, sampled_curve

__all__ = ["HitCurve", "Hits", "Replayed", "Sample", "curve_at", "lru_curve", "replay", "sampled_curve"]
