"""Real speech and silence, made by espeak-ng and sox."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

WORDS = "The quick brown fox jumps over the lazy dog."


def sox(*arguments: str | Path) -> None:
    for program in ("sox", "espeak-ng"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    subprocess.run(["sox", *map(str, arguments)], check=True, capture_output=True, timeout=30)


def silence(path: Path, seconds: float = 2.0) -> Path:
    """Not quite: a room hisses."""
    sox("-R", "-n", "-r", "16000", "-c", "1", "-b", "16", path, "synth", str(seconds), "whitenoise", "vol", "0.003")
    return path


def speech(path: Path) -> Path:
    """One sentence between two seconds of silence, 22050 Hz, 16 bits."""
    spoken = path.with_suffix(".spoken.wav")
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    subprocess.run(["espeak-ng", "-w", str(spoken), WORDS], check=True, capture_output=True, timeout=30)
    sox("-R", spoken, path, "pad", "2", "2")
    return path
