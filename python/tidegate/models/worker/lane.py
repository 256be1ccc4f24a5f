"""One model at work: its queue, its thread, and whether it is loaded.

Whoever has the baton of `turns.py` puts work in and takes it back; a thread of the model's own prepares, loads,
computes and unloads, and is there only while there is something to do or the model is loaded. What the two share is
behind one lock, which nobody holds while anything is computed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tidegate.errors import ModelBusy, ModelDeadline, ModelOutOfMemory, TidegateError
from tidegate.models.files import ModelFiles
from tidegate.models.inputs.binary import NeedsResource, with_resources
from tidegate.models.manifest import ModelManifest
from tidegate.models.task import Answer, BadInput, Job, Task
from tidegate.models.worker.batching import Pace
from tidegate.models.worker.failing import as_failure
from tidegate.models.worker.residency import Residency
from tidegate.models.worker.resource_links import LinksToRead, links_among
from tidegate.models.worker.thread_label import label_this_thread
from tidegate.models.worker.work import Caller, Work

if TYPE_CHECKING:
    from tidegate.models.power import Power

Came = Answer | BadInput | LinksToRead | TidegateError
"""What work came to, for all who wait for it."""

Finished = Callable[["Lane", Work, Came], None]
"""Called on the computing thread."""

_AHEAD: Final = 4
"""Works of another kind that are prepared while a batch is gathered, at most."""


class Lane:
    """`add`, `discard` and `hold` need the baton of `turns.py`; `unload` is anybody's."""

    def __init__(
        self,
        manifest: ModelManifest,
        task: Task,
        files: ModelFiles,
        residency: Residency,
        power: Callable[[], Power],
        finished: Finished,
        max_waiting_bytes: int,
    ) -> None:
        self.manifest = manifest
        self.task = task
        self.files = files
        self.loaded = False
        self.used_s = time.monotonic()
        """When it was last done with something."""
        self.run = 0
        """How often it went to work; with `busy`, tells whether it is still at the same."""
        self.busy = False
        self.loading_since_s: float | None = None
        """While it is loaded from its files."""
        self._residency = residency
        self._power = power
        self._finished = finished
        self._max_waiting_bytes = max_waiting_bytes
        self._pace = Pace(manifest.limits.batch_wait_ms / 1000)
        self._changed = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._ready: deque[Work] = deque()
        """Prepared, and to be computed before those that wait."""
        self._open: list[Work] = []
        """All that is not finished."""
        self._waiting_bytes = 0
        self._held = False
        self._to_unload = False
        self._loaded_threads = 0
        self._thread: threading.Thread | None = None

    # -- whoever has the baton --------------------------------------------------------------------------------

    def add(self, work: Work, caller: Caller) -> Work:
        """Has it computed, or joins one that asks for the same. Returns what is waited for. Raises: ModelBusy."""
        with self._changed:
            for other in self._open:
                if other.is_like(work) and self._may_join(other, caller):
                    other.callers = (*other.callers, caller)
                    return other
            waiting = len(self._waiting) + len(self._ready)
            if waiting >= self.manifest.limits.queue or (
                waiting and self._waiting_bytes + work.size > self._max_waiting_bytes
            ):
                size = self._waiting_bytes
                raise ModelBusy(f"model `{self.manifest.name}` is busy: {waiting} calls with {size} bytes wait for it")
            work.callers = (caller,)
            self._open.append(work)
            self._waiting.append(work)
            self._waiting_bytes += work.size
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name=f"model {self.manifest.name}", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no memory for its stack
                    self._thread = None
                    self._forget(work)
                    raise ModelBusy(
                        f"model `{self.manifest.name}` cannot be served: no more threads can be had"
                    ) from None
            self._changed.notify()
        return work

    @staticmethod
    def _may_join(other: Work, caller: Caller) -> bool:
        if other.gone or (other.job is not None and not other.job.deterministic):
            return False
        # What was said of it so far cannot be said again.
        return not (other.spoke and caller.token is not None)

    def discard(self, work: Work) -> None:
        """Nobody waits for it any more: what is not begun never will be."""
        with self._changed:
            if work.gone and not work.begun:
                self._forget(work)

    def is_at(self, work: Work) -> bool:
        """Whether the thread is busy with it, be it that it loads the model."""
        return work.begun and self.busy and work in self._open

    def hold(self, held: bool) -> None:
        """While held, nothing new is begun: nobody reads the answers."""
        with self._changed:
            self._held = held
            self._changed.notify()

    def unload(self) -> None:
        """As soon as it is done with what it is at."""
        with self._changed:
            self._to_unload = True
            self._changed.notify()

    @property
    def idle(self) -> bool:
        return not self._open

    def _forget(self, work: Work) -> None:
        """Under the lock."""
        if work in self._open:
            self._open.remove(work)
        for queue in (self._waiting, self._ready):
            if work in queue:
                queue.remove(work)
                self._waiting_bytes -= work.size

    # -- computing thread ---------------------------------------------------------------------------------------

    def _live(self) -> None:
        label_this_thread(self.manifest.name)
        while True:
            work: Work | None = None
            try:
                work = self._next()
                if work is None:
                    return
                if self._prepare(work) and self._load(work):
                    self._compute(self._gather(work))
            except Exception as error:  # the thread must live, whatever was not foreseen: no memory, above all
                self._fail_begun(as_failure(self.manifest.name, error))
            self.busy = False

    def _next(self) -> Work | None:
        """What is to be done next; None when the thread is not needed any more."""
        while True:
            with self._changed:
                while not self._to_unload:
                    if not self._held and (work := self._take()) is not None:
                        self.busy = True
                        self.run += 1
                        self.used_s = time.monotonic()
                        return work
                    if not self.loaded and not self._waiting and not self._ready:
                        self._thread = None
                        return None
                    self._changed.wait()
                self._to_unload = False
            if self.loaded:
                self._unload()

    def _take(self) -> Work | None:
        """The next that somebody waits for. Under the lock."""
        for queue in (self._ready, self._waiting):
            while queue:
                work = queue.popleft()
                self._waiting_bytes -= work.size
                if not work.gone:
                    work.begun = True
                    return work
                self._forget(work)
        return None

    def _prepare(self, work: Work) -> bool:
        """Whether it can be computed; if not, its callers were told why."""
        if work.job is not None:
            return True
        try:
            work.job = self._prepared(work)
        except BadInput as bad:
            self._finish(work, bad)
        except LinksToRead as links:
            self._finish(work, links)
        except Exception as error:
            self._finish(work, as_failure(self.manifest.name, error))
        else:
            if not work.job.deterministic:
                self._part(work)
            return True
        return False

    def _prepared(self, work: Work) -> Job:
        try:
            return self.task.prepare(work.tool, with_resources(work.arguments, work.resources))
        except NeedsResource as link:
            if link.uri in work.resources:
                raise BadInput(f"the resource `{link.uri[:200]}` has no contents") from None
            # All of them at once: each round is one of the gateway's.
            raise LinksToRead(links_among(work.arguments) or (link.uri,)) from None

    def _part(self, work: Work) -> None:
        """Each caller is owed an answer of its own."""
        with self._changed:
            callers = work.callers
            work.callers = callers[:1]
            for caller in reversed(callers[1:]):
                other = work.for_one(caller)
                self._open.append(other)
                self._ready.appendleft(other)
                self._waiting_bytes += other.size

    def _load(self, work: Work) -> bool:
        """Whether the model is there; if not, whoever waits for it was told why."""
        threads = self._power().threads
        if self.loaded:
            if threads == self._loaded_threads:
                return True
            # The box got hot, or cool: what is loaded keeps its threads for as long as it is.
            self._unload()
        name = self.manifest.name
        try:
            if not self._residency.enter(self, lambda: work.gone):
                self._finish(work, ModelDeadline(f"model `{name}` was not loaded in time"))
                return False
        except TidegateError as error:
            self._fail_all(work, error)
            return False
        self.loading_since_s = time.monotonic()
        try:
            self.task.load(threads)
            self.files.still_those()
            self._residency.entered(self)
        except Exception as error:
            self._drop()
            self._residency.left(self)
            self._fail_all(work, as_failure(name, error))
            return False
        finally:
            self.loading_since_s = None
        self.loaded = True
        self._loaded_threads = threads
        return True

    def _fail_all(self, work: Work, error: TidegateError) -> None:
        """What cannot be loaded for one cannot be for those who wait behind it."""
        with self._changed:
            others = [*self._ready, *self._waiting]
            self._ready.clear()
            self._waiting.clear()
            self._waiting_bytes = 0
        for each in (work, *others):
            self._finish(each, error)

    def _fail_begun(self, error: TidegateError) -> None:
        with self._changed:
            begun = [work for work in self._open if work.begun]
        for work in begun:
            self._finish(work, error)

    def _gather(self, first: Work) -> list[Work]:
        """It and others of its kind: those that are there, and those worth waiting for."""
        job, batch = first.job, [first]
        assert job is not None
        if job.group is None:
            return batch
        most = self._pace.most(len(self._waiting) + len(self._ready))
        room = min(self.manifest.limits.batch, most) - job.weight
        with self._changed:
            for other in [other for other in self._ready if _of_a_kind(job, other)]:
                assert other.job is not None
                if other.job.weight <= room:
                    other.begun = True
                    self._ready.remove(other)
                    self._waiting_bytes -= other.size
                    batch.append(other)
                    room -= other.job.weight
        began_s = time.monotonic()
        while room > 0:
            with self._changed:
                if len(self._ready) >= _AHEAD:
                    break
                if not self._waiting:
                    pause_s = self._pace.wait_s(len(batch), time.monotonic() - began_s)
                    if pause_s <= 0 or self._to_unload or not self._changed.wait_for(lambda: self._waiting, pause_s):
                        break
                other = self._waiting.popleft()
                self._waiting_bytes -= other.size
                if other.gone:
                    self._forget(other)
                    continue
                other.begun = True
            if not self._prepare(other):
                continue
            assert other.job is not None
            if _of_a_kind(job, other) and other.job.weight <= room:
                batch.append(other)
                room -= other.job.weight
            else:
                with self._changed:
                    other.begun = False
                    self._ready.append(other)
                    self._waiting_bytes += other.size
        return batch

    def _compute(self, batch: Sequence[Work]) -> None:
        batch = self._still_wanted(batch)
        if not batch:
            return
        for work in batch:
            work.computed = True
            # It has begun: who waits for a turn for too long may go elsewhere, and need not any more.
            work.progress(0.0)
        self._pace.most_wait_s = self.manifest.limits.batch_wait_ms / 1000 * self._power().batch_wait_factor
        # Of the processor, not the clock: while callers of single calls are busy, too, those seem to take longer than
        # those of a batch, for which all callers wait.
        began_s = time.thread_time()
        try:
            came: Sequence[Came] = self._run(batch)
        except Exception as error:
            if len(batch) == 1:
                came = [as_failure(self.manifest.name, error)]
            else:
                # One of them may have spoiled it for the others.
                came = [self._run_alone(work) for work in batch]
        else:
            self._pace.computed(len(batch), time.thread_time() - began_s, len(self._waiting) + len(self._ready))
        # Before anybody hears of it: what is called next may need the room.
        self.used_s = time.monotonic()
        for work, outcome in zip(batch, came, strict=True):
            self._finish(work, outcome)
            if isinstance(outcome, ModelOutOfMemory):
                # Libraries keep what they once had. The next call begins with none of it.
                self._to_unload = True

    def _still_wanted(self, batch: Sequence[Work]) -> Sequence[Work]:
        wanted = []
        with self._changed:
            for work in batch:
                if work.gone:
                    self._forget(work)
                else:
                    wanted.append(work)
        return wanted

    def _run(self, batch: Sequence[Work]) -> Sequence[Came]:
        jobs = [work.job for work in batch if work.job is not None]
        came = self.task.run(jobs, batch)
        if len(came) != len(batch):
            raise RuntimeError(f"{len(came)} answers to {len(batch)} calls")
        return came

    def _run_alone(self, work: Work) -> Came:
        if work.gone:
            return ModelDeadline("nobody waits")  # and nobody hears it
        try:
            return self._run([work])[0]
        except Exception as error:
            return as_failure(self.manifest.name, error)

    def _finish(self, work: Work, came: Came) -> None:
        with self._changed:
            # From here on nobody joins.
            if work in self._open:
                self._open.remove(work)
        work.job = None
        self._finished(self, work, came)

    def _unload(self) -> None:
        self._drop()
        self.loaded = False
        self._residency.left(self)

    def _drop(self) -> None:
        try:
            self.task.unload()
        except Exception as error:
            as_failure(self.manifest.name, error)


def _of_a_kind(job: Job, other: Work) -> bool:
    return other.job is not None and other.job.tool == job.tool and other.job.group == job.group
