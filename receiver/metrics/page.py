"""The numbers as Prometheus reads them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from receiver.metrics.definitions import INSTRUMENTS, NO_CHANNEL
from receiver.metrics.instruments import Counter, Gauge, Histogram, Instrument, Values


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """*numbers* by the names of their instruments; of channels only *channels* are told, because a sum over
    all times knows removed ones too."""

    numbers: dict[str, Values]
    channels: Collection[str]
    told: "tuple[tuple[Gauge, Values], ...]" = ()

    def collect(self) -> Iterator[Metric]:
        """Families, as prometheus_client wants them of a collector."""
        for name, instrument in INSTRUMENTS.items():
            yield _family(instrument, self._shown(instrument, self.numbers.get(name, {})))
        for gauge, values in self.told:
            yield _family(gauge, self._shown(gauge, values))

    def _shown(self, instrument: Instrument, values: Values) -> Values:
        if "channel" not in instrument.labels:
            return values
        at = instrument.labels.index("channel")
        begun = {
            (channel, *rest): [0.0]
            for channel in self.channels
            for rest in (instrument.beginning if isinstance(instrument, Counter) else ())
        }
        known = {*self.channels, NO_CHANNEL}
        return begun | {labels: row for labels, row in values.items() if labels[at] in known}


def written(page: Page, accept: str) -> tuple[bytes, str]:
    """*page* in the format that *accept*, an ``Accept`` header, prefers, and that format's media type."""
    encoder, media_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(page)
    return encoder(registry), media_type


def _family(instrument: Instrument, values: Values) -> Metric:
    rows = sorted(values.items())
    if isinstance(instrument, Histogram):
        histogram = HistogramMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
        ends = [*map(_end, instrument.bounds), "+Inf"]
        for labels, row in rows:
            if len(row) == len(ends) + 1:  # else of a version with other buckets
                *counts, total = row
                histogram.add_metric(labels, list(zip(ends, accumulate(counts), strict=True)), total)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if isinstance(instrument, Counter):
        family = CounterMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
    else:
        family = GaugeMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
    for labels, (value,) in rows:
        family.add_metric(labels, value)
    return family


def _end(bound: float) -> str:
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text
