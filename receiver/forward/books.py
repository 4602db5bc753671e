"""What has to be written down of one subscriber: its deliveries that changed, and its place."""

from collections.abc import Sequence
from uuid import UUID

from receiver.forward.parcel import Parcel
from receiver.forward.subscription import PlaceRow


class Books:
    """*recovered*: something was delivered again after a time when nothing was."""

    def __init__(self) -> None:
        self.recovered = False
        self._dirty: dict[UUID, Parcel] = {}
        self._taken: Sequence[Parcel] = ()
        self._written: PlaceRow | None = None

    def __contains__(self, parcel: Parcel) -> bool:
        return parcel.id in self._dirty

    @property
    def dirty(self) -> Sequence[Parcel]:
        """What is not known to be written down."""
        return [*self._taken, *self._dirty.values()]

    def note(self, parcel: Parcel) -> None:
        self._dirty[parcel.id] = parcel

    def take(self) -> Sequence[Parcel]:
        """What has to be written down; to be put back where that fails."""
        self._taken, self._dirty = list(self._dirty.values()), {}
        self.recovered = False
        return self._taken

    def moved(self, place: PlaceRow) -> bool:
        """Whether *place* is another than the one that was written down last."""
        return place != self._written

    def saved(self, place: PlaceRow) -> None:
        self._written, self._taken = place._replace(recovered=False), ()

    def put_back(self, parcels: Sequence[Parcel], place: PlaceRow) -> None:
        self._dirty, self._taken = {**{parcel.id: parcel for parcel in parcels}, **self._dirty}, ()
        self.recovered = self.recovered or place.recovered
