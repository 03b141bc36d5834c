"""The training loop shared by all infillers that are trained networks; each method defines its own step.

Everything that is random, and the data order, follows from the seed and the images seen, so that a run that was stopped
and continued makes the same weights, to the bit, as one that was not. Several processes each take their share of every
batch and average their gradients, so that the result is that of one process, up to the order of additions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mammofill.ground.progress import Progress
from mammofill.ground.stopping import stop_requests
from mammofill.ground.training.checkpoint import checkpoint_fits, load_checkpoint, save_checkpoint
from mammofill.ground.training.data_order import passed
from mammofill.ground.training.early_stopping import EarlyStopping
from mammofill.ground.training.history import History, UnseenLosses, check_finite
from mammofill.ground.training.tensorboard import TensorBoard
from mammofill.infilling.methods import Painter
from mammofill.infilling.previews import PreviewCases, preview_picture, write_preview
from mammofill.infilling.settings import TrainedInfillerSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batch = TypeVar("Batch")


class InfillerTraining(ABC, Generic[Batch]):
    """All that changes while an infiller learns, and the loop that changes it.

    Args:
        fabric: this process; that of rank 0 writes.
        folder: the partial artifact; the training goes on from the checkpoint there, if one is.
        settings: of the method.
        batch_size: images of a step, over all processes.
        stopping: what validation decides.
    """

    ends: int
    """Images after which the schedule is done."""

    def __init__(
        self, fabric: Fabric, folder: Path, settings: TrainedInfillerSettings, batch_size: int, stopping: EarlyStopping
    ) -> None:
        self.fabric, self.folder, self.batch_size, self.stopping = fabric, folder, batch_size, stopping
        self.history, self.images_seen = History(), 0
        self.unseen, self.note = UnseenLosses(), ""
        self._settings = settings

    # ---- what a method defines ---------------------------------------------------------------------------------------

    @abstractmethod
    def batch_at(self, images_seen: int, share: tuple[int, int]) -> Batch:
        """Make a share, (rank, of how many), of the batch that is learned from after so many images."""

    @abstractmethod
    def to_device(self, batch: Batch) -> Batch:
        """Bring a batch to where the networks are."""

    @abstractmethod
    def step(self, batch: Batch) -> None:
        """Learn from a batch, and count its images.

        Raises:
            TrainingError: a loss of this step, or of one of the last ones, is not finite any more.
        """

    @abstractmethod
    def look(self) -> None:
        """Check the losses of the last steps.

        Raises:
            TrainingError: one is not finite any more.
        """

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Measure on the validation split when that is due; return the measure by its name."""

    @abstractmethod
    def means(self, batch: Batch) -> dict[str, float]:
        """Return what the history keeps of the steps since its last row."""

    @abstractmethod
    def painter(self) -> Painter:
        """Return what paints with the networks as they are."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all of the method's own that a checkpoint needs."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""

    @abstractmethod
    def finish(self, progress: Progress) -> None:
        """Write the weights that are kept, and the history."""

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def run(self, previews: PreviewCases | None, progress: Progress) -> int:
        """Train until the schedule is done, and write weights, history and previews into the folder.

        Args:
            previews: what is painted for people to look at; None in processes that write nothing.
            progress: notified after each step.

        Returns:
            The number of images seen.

        Raises:
            TrainingError: a loss or a validation measure is not finite any more, or the networks have collapsed.
            DamagedError: the checkpoint is of another network or of another version.
        """
        self.resume()
        settings, writes = self._settings, self.fabric.global_rank == 0
        board = TensorBoard(settings.tensorboard if writes else None, self.images_seen)
        with progress.task("training the infiller", self.ends) as task, stop_requests() as stop:
            task.advance(self.images_seen)
            for batch in self.batches():
                self.step(batch)
                row = self.validate()
                check_finite(row, self.images_seen)
                finished = self.is_over()
                if finished or row or self.passed(settings.history_every_images):
                    row |= self.record(batch, row)
                    board.add_numbers(row, self.images_seen)
                if previews is not None and len(previews) and self.shows_preview(finished):
                    picture = preview_picture(self.painter(), previews)
                    write_preview(self.folder, self.images_seen, picture)
                    board.add_picture(picture, self.images_seen)
                if writes and (finished or stop or self.passed(settings.checkpoint_every_images)):
                    self.save()
                stop.leave()
                task.advance(self.batch_size, self.note)
        if writes:
            self.finish(progress)
        board.close()
        return self.images_seen

    def batches(self) -> Iterator[Batch]:
        """Yield this process's share of each batch until the training is over; the next is made meanwhile."""
        share = (self.fabric.global_rank, self.fabric.world_size)
        with ThreadPoolExecutor(1) as beside:
            upcoming = beside.submit(self.batch_at, self.images_seen, share)
            while not self.is_over():
                batch = self.to_device(upcoming.result())
                upcoming = beside.submit(self.batch_at, self.images_seen + self.batch_size, share)
                yield batch

    def is_over(self) -> bool:
        """Say whether the schedule is done, or patience has run out."""
        return self.images_seen >= self.ends or self.stopping.is_over()

    def passed(self, every: int) -> bool:
        """Say whether the last step passed a multiple of so many images."""
        return passed(self.images_seen, self.batch_size, every)

    def shows_preview(self, finished: bool) -> bool:
        """Say whether it is time for a preview."""
        return finished or self.passed(self._settings.preview_every_images)

    def record(self, batch: Batch, row: Mapping[str, float]) -> dict[str, float]:
        """Add a row to the history; return what it says besides `row`."""
        means = self.means(batch)
        self.history.add(self.images_seen, **row, **means)
        if self.fabric.global_rank == 0:
            self.history.write(self.folder)
        return means

    def save(self) -> None:
        """Write a checkpoint, unless a loss is not finite any more."""
        self.look()
        common = {"images_seen": self.images_seen, "history": self.history.state(), "stopping": self.stopping.state()}
        save_checkpoint(self.folder, common | self.state())

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            DamagedError: it is of another network or of another version.
        """
        state = load_checkpoint(self.folder)
        if state is None:
            return
        with checkpoint_fits(self.folder):
            self.images_seen, self.history = state["images_seen"], History.from_state(state["history"])
            self.stopping.load_state(state["stopping"])
            self.load_state(state)
