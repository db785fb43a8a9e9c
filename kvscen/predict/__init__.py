"""Hit rates of a workload at every capacity, without moving a byte.

A workload is two arrays: request r looks up ids[offsets[r]:offsets[r + 1]], all against the state before it.
"""

from kvscen.predict.capacity import Capacity, parse_bytes, parse_capacity
from kvscen.predict.curve import HitCurve, Hits, lru_curve
from kvscen.predict.errors import PredictionError
from kvscen.predict.prediction import At, Prediction, predict, predict_requests
from kvscen.predict.replay import Replayed, curve_at, replay
from kvscen.predict.sample import Sample, curve_of, sampled_curve

__all__ = [
    "At",
    "Capacity",
    "HitCurve",
    "Hits",
    "Prediction",
    "PredictionError",
    "Replayed",
    "Sample",
    "curve_at",
    "curve_of",
    "lru_curve",
    "parse_bytes",
    "parse_capacity",
    "predict",
    "predict_requests",
    "replay",
    "sampled_curve",
]
