"""Speed in turns, and the processor it was taken on."""

from pathlib import Path

from analysis.int8.speed import rates, this_cpu


def test_rounds_go_in_turns_and_the_first_does_not_count() -> None:
    called: list[tuple[str, int]] = []
    finds = [lambda k: called.append(("a", k)), lambda k: called.append(("b", k))]
    found = rates(finds, 2, rounds=3)
    assert [len(speeds) for speeds in found] == [3, 3]
    assert called[:4] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert len(called) == 4 * 4


def test_the_processor_says_whether_it_multiplies_integers(tmp_path: Path) -> None:
    about = tmp_path / "cpuinfo"
    about.write_text("model name\t: Xeon\nflags\t\t: sse avx2 avx512_vnni amx_int8\n")
    assert this_cpu(about) == "Xeon (AVX512-VNNI, AMX-INT8)"
    about.write_text("model name\t: Old\nflags\t\t: sse avx2\n")
    assert this_cpu(about) == "Old (no 8-bit dot product)"
    assert this_cpu(tmp_path / "none")
