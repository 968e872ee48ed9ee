"""From a method and settings to what carries labels: the engine with its encoder, or a baseline."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from propagate.baselines import PROPAGATORS
from propagate.device import use_threads
from propagate.evaluation.methods import Method
from propagate.evaluation.protocol import Tracker
from propagate.jobs.settings import Settled, settle

MACHINE = ("device", "threads", "checkpoint")  # settings that make no other run of it


@dataclass(frozen=True)
class TrackerMaker:
    """Makes the tracker of one method for any label type; plain data, so that a worker process can be given it.

    Attributes:
        method: what is run.
        flags: fields of `PropagateConfig` for every encoder.
        file: a YAML file of settings.
        preset: for encoders that name none themselves.
        quality: as `settle` takes it.
        cache: where flows are kept, for baselines.
    """

    method: Method
    flags: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    preset: str | None = None
    quality: str | None = None
    cache: Path | None = None

    def __call__(self, labels: str) -> Tracker:
        """Return what carries labels of a type, an entry of CODECS.

        Raises:
            ConfigError: a setting that cannot be.
            WeightsError: weights that are missing or of another encoder.
            DeviceError: the device is missing.
        """
        if self.method.kind == "baseline":
            threads = self.flags.get("threads")
            use_threads(threads if isinstance(threads, int) else None)
            options = dict(self.method.options)
            if self.method.base != "identity":
                options["cache"] = self.cache
            tracker: Tracker = functools.partial(PROPAGATORS[self.method.base], **options)
            return tracker
        from propagate.engine.pipeline import run

        settled = self.settled(labels)
        return functools.partial(run, encoder=settled.encoder, config=settled.config)

    def settled(self, labels: str) -> Settled:
        """Return the settings and the loaded encoder; `rawcolor` looks at the pattern of luma when colours are carried.

        Raises:
            ConfigError: as `__call__`.
            WeightsError: as `__call__`.
            DeviceError: as `__call__`.
        """
        return settle(
            self._flags(),
            file=self.file,
            preset=self.method.preset or self.preset,
            quality=self.quality,
            luma=labels == "colors",
        )

    def record(self, labels: str) -> dict[str, Any]:
        """Return what the method's numbers depend on, as plain data: all settings, and the digest of the weights.

        Raises:
            ConfigError: as `__call__`.
            WeightsError: as `__call__`.
            DeviceError: as `__call__`.
        """
        if self.method.kind == "baseline":
            if self.method.options.get("estimator") == "raft":
                from propagate.baselines.raft import load_raft

                load_raft()  # refused now where its weights are absent
            return {"method": self.method.name, "options": dict(self.method.options)}
        settled = self.settled(labels)
        settings = {name: value for name, value in asdict(settled.config).items() if name not in MACHINE}
        return {"method": self.method.name, "weights_sha256": settled.weights, "settings": settings}

    def _flags(self) -> dict[str, Any]:
        own = {"encoder": self.method.base, "weights": self.method.weights}
        return {**self.flags, **own, **self.method.options}
