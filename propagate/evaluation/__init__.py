"""How good a tracker is: benchmarks with their official metrics, analysis of failures, tables and a report.

Add a benchmark: one file with a class like those here (see `protocol.Benchmark`), one line below.
"""

from propagate.registry import Registry

BENCHMARKS = Registry(
    "benchmark",
    {
        "davis": "propagate.evaluation.benchmarks.davis:Davis",
        "jhmdb": "propagate.evaluation.benchmarks.jhmdb:Jhmdb",
        "vip": "propagate.evaluation.benchmarks.vip:Vip",
        "keypoints": "propagate.evaluation.benchmarks.keypoint_clips:KeypointClips",
        "colors": "propagate.evaluation.benchmarks.color_clips:ColorClips",
        "reconstruction": "propagate.evaluation.benchmarks.reconstruction:Reconstruction",
    },
)
