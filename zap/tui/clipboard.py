"""Text → the person's clipboard, in one step and from wherever they look at us: through ssh, tmux or screen as well."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Mapping

from zap import child

SECONDS = 2.0  # for each program: they only take the text and go
OSC_52_BYTES = 99_992 // 4 * 3  # of text: hterm refuses a sequence of more than 100 000 bytes, as base64, with its ends
SCREEN_BYTES = 240  # older versions of GNU screen pass on no more than 256 in one piece

_TOOLS = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("PATH", ("pbcopy",)),
    ("PATH", ("clip.exe",)),
)


def copy(text: str, environ: Mapping[str, str], write: Callable[[bytes], None]) -> str:
    """Blocks while programs run, some seconds at most. Who took the text, such as "OSC 52 and wl-copy".

    `write` reaches the real terminal: once, or not at all where tmux does, or where the text is longer than a terminal
    takes and a program has the whole of it. Whether the terminal obeys, nobody can know.
    """
    data = text.encode(errors="replace")
    tool = _tool(text, environ)
    if environ.get("TMUX") and child.pipe(["tmux", "load-buffer", "-w", "-"], data, environ, SECONDS):
        terminal = "tmux"
    elif len(data) <= OSC_52_BYTES:
        write(_osc_52(data, environ))
        terminal = "OSC 52"
    elif not tool:
        write(_osc_52(data[:OSC_52_BYTES].decode(errors="ignore").encode(), environ))
        terminal = f"OSC 52 (only its first {OSC_52_BYTES // 1000} kB)"
    else:
        terminal = ""
    return " and ".join(filter(None, (terminal, tool)))


def _tool(text: str, environ: Mapping[str, str]) -> str:
    """The system's own tool that took the text; "" when there is none that works."""
    for variable, argv in _TOOLS:
        if environ.get(variable) and shutil.which(argv[0], path=environ.get("PATH", os.defpath)):
            encoding = "utf-16-le" if argv[0] == "clip.exe" else "utf-8"  # Windows takes UTF-8 for its old code page
            if child.pipe(argv, text.encode(encoding, "replace"), environ, SECONDS):
                return argv[0]
    return ""


def _osc_52(data: bytes, environ: Mapping[str, str]) -> bytes:
    """Control Sequences, xterm: "Manipulate Selection Data"; within GNU screen wrapped for what is around it."""
    sequence = b"\x1b]52;c;" + base64.b64encode(data) + b"\a"
    if not environ.get("STY"):
        return sequence
    pieces = (sequence[start : start + SCREEN_BYTES] for start in range(0, len(sequence), SCREEN_BYTES))
    return b"".join(b"\x1bP" + piece + b"\x1b\\" for piece in pieces)
