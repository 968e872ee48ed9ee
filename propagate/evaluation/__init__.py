"""How good a tracker is: benchmarks with their official metrics, analysis of failures, tables and a report.

Add a benchmark: one file with a class like those here (see `protocol.Benchmark`), one line below.
"""

from propagate.registry import Registry

BENCHMARKS = Registry(
    "benchmark",
    {
        "davis": "propagate.evaluation.datasets.davis:Davis",
        "jhmdb": "propagate.evaluation.datasets.jhmdb:Jhmdb",
        "vip": "propagate.evaluation.datasets.vip:Vip",
        "keypoints": "propagate.evaluation.datasets.keypoint_clips:KeypointClips",
        "colors": "propagate.evaluation.datasets.color_clips:ColorClips",
        "reconstruction": "propagate.evaluation.datasets.reconstruction:Reconstruction",
    },
)
