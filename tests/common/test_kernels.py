"""Compiling the CPU forms: faults are said, what is stored is whole, what is damaged is rebuilt."""

import ctypes
import os
import stat

import pytest

from common.learning import kernels

SOURCE = "long doubled(long x) { return 2 * x; }\n"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A small C file, and a cache of its own."""
    if not kernels.find_compiler():
        pytest.skip("no C compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMZ_KERNELS", "native")
    path = tmp_path / "doubled.c"
    path.write_text(SOURCE)
    return path


def compile_now(source):
    """As in a fresh process."""
    return kernels.compiled.__wrapped__(source)


def test_a_kernel_is_compiled_once_and_stored_whole(source, monkeypatch, capsys):
    assert compile_now(source).doubled(ctypes.c_long(21)) == 42
    stored = sorted(kernels.cache_folder().iterdir())
    assert [path.suffix for path in stored] == [".sha256", ".so"]
    monkeypatch.setattr(kernels, "build", None)  # not needed a second time
    assert compile_now(source).doubled(ctypes.c_long(4)) == 8
    assert capsys.readouterr().err == ""


def test_what_is_included_is_compiled_anew_when_it_changes(source):
    """ctypes keeps the first library of a path, so the new one has to have another name."""
    included = source.with_name("factor.h")
    included.write_text("#define FACTOR 2\n")
    source.write_text('#include "factor.h"\nlong times(long x) { return FACTOR * x; }\n')
    assert compile_now(source).times(ctypes.c_long(4)) == 8
    included.write_text("#define FACTOR 3\n")
    assert compile_now(source).times(ctypes.c_long(4)) == 12


def test_a_fault_in_the_source_is_said_in_one_sentence(source, capsys):
    source.write_text("long doubled(long x) { return 2 * y; }\n")
    assert compile_now(source) is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith(
        "; the plain torch form is used, which is slower\n"
    )
    assert "could not compile doubled.c" in said and kernels.find_compiler()[0] in said
    assert "error" in said and "y" in said
    assert not list(kernels.cache_folder().iterdir())


def test_a_compiler_that_cannot_be_started_is_said(source, monkeypatch, capsys):
    monkeypatch.setenv("CC", "/nonexistent/cc -O1")
    assert compile_now(source) is None
    said = capsys.readouterr().err
    assert "/nonexistent/cc" in said and "doubled.c" in said and said.count("\n") == 1


def test_no_compiler_is_said(source, monkeypatch, capsys):
    monkeypatch.setattr(kernels, "find_compiler", list)
    assert compile_now(source) is None
    assert "no C compiler was found for doubled.c" in capsys.readouterr().err


def test_a_fault_is_said_once_a_process(source, monkeypatch, capsys):
    monkeypatch.setattr(kernels, "find_compiler", list)
    assert kernels.compiled(source) is None and kernels.compiled(source) is None
    assert capsys.readouterr().err.count("\n") == 1
    kernels.compiled.cache_clear()


def test_switched_off_nothing_is_said(source, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_KERNELS", "torch")
    assert compile_now(source) is None and capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", [b"", b"\0" * 4000, b"not a library"])
def test_a_damaged_library_is_rebuilt(source, damage):
    folder = kernels.cache_folder()
    folder.mkdir(parents=True)
    made = []
    build = kernels.build

    def noting(compiler, source, path):
        made.append(path)
        if len(made) == 1:
            path.write_bytes(damage)
        else:
            build(compiler, source, path)

    kernels.build = noting
    try:
        assert compile_now(source).doubled(ctypes.c_long(5)) == 10
    finally:
        kernels.build = build
    assert len(made) == 2 and compile_now(source).doubled(ctypes.c_long(6)) == 12


def test_a_library_that_was_cut_is_rebuilt_and_never_loaded(source):
    """Loading it would end the process by SIGBUS, without a word."""
    built = compile_now(source)
    path = next(kernels.cache_folder().glob("*.so"))
    whole = path.read_bytes()
    del built
    path.unlink()  # this process goes on with the file that it mapped
    path.write_bytes(whole[: len(whole) // 3])
    assert compile_now(source).doubled(ctypes.c_long(8)) == 16
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_said(source, tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert compile_now(source) is None
    assert "doubled.c could not be compiled" in capsys.readouterr().err


def test_options_may_stand_in_cc(source, monkeypatch, tmp_path):
    script = tmp_path / "my cc"
    script.write_text(f'#!/bin/sh\nexec {kernels.find_compiler()[0]} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", f"'{script}' -DX=1")
    assert compile_now(source).doubled(ctypes.c_long(7)) == 14
    assert os.environ["CC"].endswith("-DX=1")
