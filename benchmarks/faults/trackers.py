"""Faults of W&B under Ray's own callback for it."""

from collections.abc import Callable

from benchmarks.faults.plain_study import Stock
from tests.faults.surroundings.test_wandb import KEY
from tests.support.servers.wandb_server import Behaviour, wandb_server


def wandb_away(stock: Stock) -> None:
    """Nobody answers at W&B's address."""
    _track(stock, "http://127.0.0.1:9")
    stock.finish(stock.start())
    _tell_what_is_kept(stock)


def _behaving(behaviour: Behaviour, after: int, name: str) -> Callable[[Stock], None]:
    def fault(stock: Stock) -> None:
        with wandb_server() as server:
            if not after:
                server.behaviour = behaviour
            _track(stock, server.url)
            driver = stock.start()
            stock.wait_for(after)
            server.behaviour = behaviour
            stock.finish(driver)
            rows = {key: len(run.rows) for key, run in server.runs.items()}
            print(f"    rows of the runs at the server: {rows}")
            _tell_what_is_kept(stock)

    fault.__name__ = name
    fault.__doc__ = f"W&B behaves so after {after} epochs: {behaviour}."
    return fault


BEHAVIOURS = [
    _behaving("well", 0, "wandb_well"),
    _behaving("hangs", 0, "wandb_hangs"),
    _behaving("hangs", 8, "wandb_hangs_later"),
    _behaving("refuses", 0, "wandb_500"),
    _behaving("refuses", 8, "wandb_500_later"),
]


def _track(stock: Stock, url: str) -> None:
    stock.plan.wandb = True
    stock.environment |= {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY}


def _tell_what_is_kept(stock: Stock) -> None:
    kept = sorted(stock.folder.rglob("run-*.wandb"))
    print(f"    runs kept here: {[(file.name, file.stat().st_size) for file in kept]}")
