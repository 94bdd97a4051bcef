"""Exceptions an engine may raise, and what the caller does about each.

::

    TrainingError
    |-- TrialStopped       the scheduler has decided; finish the artifacts, then let it pass
    |-- EarlyStopped       the engine's own patience has run out: complete, with that reason
    |-- InfeasibleParams   the configuration can never train: failed, not retried
    |   |-- IneffectiveParam   what was sampled is not what would train, named by its key
    |   |-- UnreadableFile     a checkpoint or a model is damaged: where a trial was to go on from
    |   |                      it, it trains from its beginning
    |   `-- OutOfMemory        not in this share of memory: retried in smaller parts of a batch,
    |                          then with a larger share; failed where neither is left
    |-- Diverged           a loss is no longer finite: failed with the reason `diverged`
    `-- TransientError     retry from the last checkpoint
    UserError                the user can mend it (a file is missing, a licence has run out): the
                             trial fails with the message alone, and so does a command
    MemoryError              as `OutOfMemory`, of an engine that cannot split its batches; so do
                             the words in which torch and CUDA say it (`says_out_of_memory`)
Anything else is a bug of the engine: the trial fails with its traceback in `train.log`.
"""

from typing import Final

_OUT_OF_MEMORY: Final = (
    "out of memory",
    "ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "find an engine",
    "can't allocate memory",
    "Cannot allocate memory",
    "can't start new thread",
    "bad_alloc",
    "Insufficient memory",
)
"""Words for too little memory: of CUDA, its libraries, torch's CPU allocator, the system, C++,
OpenCV; and Python's where there is none for a thread's stack."""


class TrainingError(Exception):
    """Base of everything an engine raises on purpose."""


class TrialStopped(TrainingError):
    """Raised by `Trial.report` when the trial must not train another epoch."""


class EarlyStopped(TrainingError):
    """The configuration asks to end here: it gained nothing for as long as its patience allows.

    Raised after the report of the last epoch, and again where the trial is resumed after it.
    """


class InfeasibleParams(TrainingError):
    """The configuration can never train (contradictory values, a model that does not fit)."""


class IneffectiveParam(InfeasibleParams):
    """A sampled value is not the one the framework would train with."""


class UnreadableFile(InfeasibleParams):
    """A file of a training or of a model is damaged, or holds more than plain data."""


class OutOfMemory(InfeasibleParams):
    """The training does not fit into the share of memory that it has.

    Attributes:
        micro_batch: Number of samples that went through the network at once; 0 where the engine
            cannot split its batches.
    """

    def __init__(self, message: str, micro_batch: int = 0) -> None:
        super().__init__(message)
        self.micro_batch = micro_batch


class Diverged(TrainingError):
    """A loss or a weight is no longer finite."""


class TransientError(TrainingError):
    """A failure that another attempt from the last checkpoint may not meet."""


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any library says that there is too little memory.

    >>> says_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    >>> says_out_of_memory(OSError(12, "Cannot allocate memory"))
    True
    >>> says_out_of_memory(MemoryError()), says_out_of_memory(ValueError("out of range"))
    (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)
