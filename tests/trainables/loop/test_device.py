"""The share of a machine that a trial may use."""

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from trainables.contract import (
    Device,
    InfeasibleParams,
    OutOfMemory,
)
from trainables.loop.device import (
    MOST_WORKERS,
    loader_processes,
    memory_errors,
    peak_memory_gb,
    use_device,
)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_a_trial_computes_on_the_cpus_that_its_loader_leaves() -> None:
    use_device(Device(cpus=3), workers=1)
    assert torch.get_num_threads() == 2
    use_device(Device(cpus=1), workers=4)
    assert torch.get_num_threads() == 1


def test_the_cpu_trains_without_loader_processes() -> None:
    assert loader_processes(4, Device(cpus=8)) == 0


def test_a_gpu_has_as_many_loader_processes_as_asked_for_or_as_the_cpus_allow() -> None:
    assert loader_processes(0, Device("cuda:0", cpus=8)) == 0
    assert loader_processes(None, Device("cuda:0", cpus=1)) == 1
    assert loader_processes(None, Device("cuda:0", cpus=5)) == 4
    assert loader_processes(None, Device("cuda:0", cpus=99)) == MOST_WORKERS


def test_too_little_memory_is_the_fault_of_the_params() -> None:
    with (
        pytest.raises(InfeasibleParams, match=r"batch=8 does not fit.*cpu.*lower batch, or run"),
        memory_errors(Device(), "batch=8", "batch", 8),
    ):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with (
        pytest.raises(OutOfMemory, match=r"in parts of 4 does.*\(MemoryError\)") as caught,
        memory_errors(Device(micro_batch=4), "batch=8", "batch", 8),
    ):
        raise MemoryError
    assert caught.value.micro_batch == 4


def test_every_other_error_keeps_its_own_words() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes do not fit"),
        memory_errors(Device(), "batch=8", "batch", 8),
    ):
        raise RuntimeError("shapes do not fit")


def test_the_cpu_has_no_gpu_memory() -> None:
    assert peak_memory_gb(torch.device("cpu")) == 0.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_trial_does_not_inherit_the_memory_share_of_the_one_before() -> None:
    use_device(Device("cuda:0", memory_fraction=0.01))
    total = torch.cuda.get_device_properties(0).total_memory
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(total // 20, dtype=torch.uint8, device="cuda:0")
    use_device(Device("cuda:0"))
    assert torch.empty(total // 20, dtype=torch.uint8, device="cuda:0").numel() == total // 20
