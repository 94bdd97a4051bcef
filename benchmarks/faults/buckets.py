"""Faults of the bucket that a study is kept in, through `pyarrow.fs.GcsFileSystem`."""

import contextlib
import time
from collections.abc import Callable, Iterator

from google.cloud import storage

from benchmarks.faults.plain_study import EPOCHS, LATE, TRIALS, Stock
from benchmarks.faults.processes import killed_then, restored_beside
from tests.support.servers.bucket_server import BUCKET, Trouble, bucket_server, troubled


@contextlib.contextmanager
def _kept_in_a_bucket(stock: Stock) -> Iterator[Trouble]:
    """Have a study kept in a bucket behind a line that can do harm."""
    with bucket_server(), troubled() as trouble:
        stock.plan.storage, stock.plan.bucket = f"{BUCKET}/studies", True
        try:
            yield trouble
        finally:
            stock.kill()


def _for_30_s(how: str) -> Callable[[Stock], None]:
    def fault(stock: Stock) -> None:
        with _kept_in_a_bucket(stock) as trouble:
            driver = stock.start()
            stock.wait_for(LATE)
            trouble.how = how
            time.sleep(30)
            n, trouble.how = len(stock.diary()), "none"
            print(f"    {trouble.n} requests were troubled, {n - LATE} epochs trained meanwhile")
            stock.finish(driver)
            stock.tell("it has ended")
            stock.finish(stock.start(restore=True))

    fault.__name__ = f"bucket_{how}"
    fault.__doc__ = f"For 30 s the bucket's way is: {how}; then the study is restored."
    return fault


ANSWERS = [_for_30_s(how) for how in ("429", "503", "hang", "lost")]


def bucket_flipped(stock: Stock) -> None:
    """A byte of each write is flipped from the start; all is killed, and restored without it."""
    with _kept_in_a_bucket(stock) as trouble:
        trouble.how = "flipped"
        killed_then(stock, lambda: setattr(trouble, "how", "none"))
        print(f"    {trouble.n} requests were troubled")


def bucket_flipped_late(stock: Stock) -> None:
    """A byte of each write is flipped for 6 epochs, and all is killed and restored."""
    with _kept_in_a_bucket(stock) as trouble:
        stock.start()
        stock.wait_for(LATE - 6)
        trouble.how = "flipped"
        stock.wait_for(LATE)
        stock.kill()
        trouble.how = "none"
        print(f"    {trouble.n} requests were troubled")
        stock.finish(stock.start(restore=True))


def bucket_away_long(stock: Stock) -> None:
    """The bucket is away for 60 s, of which its client waits for 20 s; then it is restored."""
    _away(stock, LATE)


def bucket_away_long_retried(stock: Stock) -> None:
    """The same with `max_failures=3`."""
    stock.plan.failures = 3
    _away(stock, LATE)


def bucket_away_at_end(stock: Stock) -> None:
    """The bucket is away for 60 s after all epochs but the last of two trials."""
    _away(stock, TRIALS * EPOCHS - 2)


def _away(stock: Stock, after: int) -> None:
    stock.plan.patience_s = 20
    with _kept_in_a_bucket(stock) as trouble:
        driver = stock.start()
        stock.wait_for(after)
        trouble.how = "503"
        time.sleep(60)
        trouble.how = "none"
        stock.finish(driver)
        stock.tell("it has ended")
        stock.finish(stock.start(restore=True))


def bucket_state_missing(stock: Stock) -> None:
    """Everything is killed and the file of the study's state is gone from the bucket."""
    with _kept_in_a_bucket(stock):

        def delete() -> None:
            bucket = storage.Client(project=None).bucket(BUCKET)
            found = [b for b in bucket.list_blobs() if "/experiment_state-" in b.name]
            assert found
            for blob in found:
                blob.delete()

        killed_then(stock, delete)


def bucket_machine_lost(stock: Stock) -> None:
    """Everything is killed, and restored from the bucket alone."""
    with _kept_in_a_bucket(stock):
        killed_then(stock, lambda: None)


def bucket_restored_beside(stock: Stock) -> None:
    """A study in a bucket is restored while its driver runs."""
    with _kept_in_a_bucket(stock):
        restored_beside(stock)
