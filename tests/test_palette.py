"""Themes that can be read, for whoever looks at whatever terminal, and glyphs that take the cells that they should."""

from __future__ import annotations

import itertools

import pytest
from urwid import LayeredAttr, calc_width
from urwid.testing import resolve_attr

from zap.events import State
from zap.tui import palette
from zap.tui.palette import ASCII, THEMES, UNICODE, Glyphs

NAMES = """
text, dim, title, bar, bar key, border, border focus, selected, selected focus, heading, heading ok, heading bad,
stream err, stream zap, gutter, time, hit, hit now, selection, badge lines, badge errors, badge fixups, notice,
notice bad, notice fix, dialog, dialog title, dialog key, input, prompt, ok, bad, warn, fix, busy, off, match
"""
SURFACES = ("bar", "dialog", "selected", "selected focus", "selection", "input")
ALL = [name.strip() for name in NAMES.split(",")] + [f"state {state}" for state in (*State, "paused")]

Rgb = tuple[int, int, int]


def luminance(colour: Rgb) -> float:
    """WCAG 2.2, relative luminance."""
    shares = (part / 255 for part in colour)
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Rgb, other: Rgb) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def colours(attr: object, theme: str, own: Rgb, depth: int) -> tuple[Rgb, Rgb]:
    """Ink and paper as they are seen in a terminal with a paper of its own."""
    red, green, blue, *paper = resolve_attr(attr, THEMES[theme].entries, colors=depth).get_rgb_values()
    assert red is not None and green is not None and blue is not None, f"{attr} has the ink of the terminal"
    return (red, green, blue), own if None in paper else tuple(paper)  # type: ignore[return-value]


def test_contrast_is_reckoned_as_the_standard_does() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == 21
    assert contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(
    ("theme", "own", "least"),
    [
        ("dark", (0, 0, 0), 4.5),
        ("dark", (0x1C, 0x1C, 0x1C), 4.5),
        ("light", (255, 255, 255), 4.5),
        ("contrast", (255, 255, 255), 7),
        ("contrast", (0, 0, 0), 7),
    ],
)
@pytest.mark.parametrize("depth", [256, 2**24])
def test_every_text_can_be_read_on_everything_that_it_may_stand_on(
    theme: str, own: Rgb, least: float, depth: int
) -> None:
    attrs = [None] if theme == "contrast" else []
    stacks = [LayeredAttr(name, surface) for name, surface in itertools.product(ALL, SURFACES)]
    seen = {attr: round(contrast(*colours(attr, theme, own, depth)), 2) for attr in [*attrs, *ALL, *stacks]}
    assert not {attr: ratio for attr, ratio in seen.items() if ratio < least}


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme_has_every_look_once(theme: str) -> None:
    names = [name for name, *_ in THEMES[theme].entries]
    assert len(names) == len(set(names))
    assert set(ALL) <= set(names)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_paper_of_the_terminal_is_kept(theme: str) -> None:
    for name in ["text", "heading bad", "border", "stream err", "notice", *(f"state {state}" for state in State)]:
        assert resolve_attr(name, THEMES[theme].entries).background == "default"


@pytest.mark.parametrize("depth", [1, 16, 256, 2**24])
def test_mono_has_no_colour_at_any_depth(depth: int) -> None:
    entries = THEMES["mono"].entries
    for attr in [None, *ALL, LayeredAttr("state failed", "selected focus")]:
        resolved = resolve_attr(attr, entries, colors=depth)
        assert resolved.foreground.partition(",")[0] == "default"
        assert resolved.background == "default"


@pytest.mark.parametrize("theme", THEMES)
def test_without_colour_what_matters_stands_out_still(theme: str) -> None:
    def settings(*attr: str) -> set[str]:
        return set(resolve_attr(LayeredAttr(*attr), THEMES[theme].entries, colors=1).foreground.split(",")[1:])

    assert settings("selected focus") == {"standout"}
    assert settings("state failed", "selected focus") == {"bold", "standout"}
    looks = [settings(name) for name in ("text", "selected", "selected focus", "badge errors", "hit now")]
    assert all(one != other for one, other in itertools.combinations(looks, 2))


@pytest.mark.parametrize("depth", [16, 256])
@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("selected", "selected focus"),
        ("selected", "text"),
        ("state ready", "state failed"),
        ("state running", "state ready"),
        ("state failed", "state backoff"),
        ("state waiting", "state stopped"),
        ("state waiting", "state ready"),
        *((f"state {state}", "state paused") for state in State),
        ("hit", "hit now"),
        ("stream err", "text"),
        ("stream zap", "text"),
        ("bar", "text"),
    ],
)
def test_what_differs_looks_different(theme: str, depth: int, one: str, other: str) -> None:
    entries = THEMES[theme].entries
    assert resolve_attr(one, entries, colors=depth) != resolve_attr(other, entries, colors=depth)


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
def test_with_sixteen_colours_no_ink_is_its_own_paper(theme: str) -> None:
    for stack in itertools.product(ALL, ["text", *SURFACES]):
        resolved = resolve_attr(LayeredAttr(*stack), THEMES[theme].entries, colors=16)
        assert resolved.foreground.partition(",")[0] != resolved.background, stack


@pytest.mark.parametrize(
    ("preference", "environ", "colours", "name"),
    [
        (None, {}, 256, "dark"),
        ("light", {}, 16, "light"),
        ("contrast", {"COLORFGBG": "0;15"}, 256, "contrast"),
        ("mono", {}, 2**24, "mono"),
        ("light", {}, 1, "mono"),
        ("light", {"NO_COLOR": "1"}, 256, "mono"),
        ("light", {"NO_COLOR": ""}, 256, "light"),
        (None, {"NO_COLOR": "0", "COLORFGBG": "0;15"}, 256, "mono"),
        (None, {"COLORFGBG": "0;15"}, 256, "light"),
        (None, {"COLORFGBG": "0;default;15"}, 256, "light"),
        (None, {"COLORFGBG": "0;7"}, 256, "light"),
        (None, {"COLORFGBG": "15;0"}, 256, "dark"),
        (None, {"COLORFGBG": "7;8"}, 256, "dark"),
        (None, {"COLORFGBG": "15;default"}, 256, "dark"),
        (None, {"COLORFGBG": "nonsense"}, 256, "dark"),
    ],
)
def test_the_theme_is_what_a_person_wants_or_else_what_the_terminal_is(
    preference: str | None, environ: dict[str, str], colours: int, name: str
) -> None:
    assert palette.choose(preference, environ, colours).name == name


def cells(text: str) -> int:
    return calc_width(text, 0, len(text))


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_glyphs_take_one_cell_and_the_wrench_two(glyphs: Glyphs) -> None:
    single = {name: value for name, value in glyphs._asdict().items() if isinstance(value, str) and name != "name"}
    corners = single.pop("corners")
    for glyph in [*glyphs.states.values(), *single.values(), *corners]:
        assert cells(glyph) == (2 if glyph == "🔧" else 1), glyph
    assert cells(corners) == 4


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_every_state_has_a_glyph_of_its_own(glyphs: Glyphs) -> None:
    assert set(glyphs.states) == set(State)
    assert len({*glyphs.states.values(), glyphs.paused}) == len(State) + 1
    assert glyphs.open != glyphs.shut
    assert glyphs.checked != glyphs.unchecked
    assert len({glyphs.fixup, glyphs.error, glyphs.lines}) == 3


def test_ascii_is_ascii() -> None:
    assert all(text.isascii() and text.isprintable() for text in (*ASCII.states.values(), *ASCII[2:]))


@pytest.mark.parametrize(
    ("preference", "environ", "name"),
    [
        (None, {"LANG": "en_GB.UTF-8"}, "unicode"),
        (None, {"LANG": "de_DE.utf8@euro"}, "unicode"),
        (None, {"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, "ascii"),
        (None, {"LANG": "en_GB.UTF-8", "LC_CTYPE": "en_GB.ISO-8859-1"}, "ascii"),
        (None, {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "unicode"),
        (None, {"LANG": "en_GB.UTF-8", "LC_ALL": "", "LC_CTYPE": ""}, "unicode"),
        (None, {}, "ascii"),
        (None, {"LANG": "C.UTF-8", "TERM": "xterm-256color"}, "unicode"),
        (None, {"LANG": "C.UTF-8", "TERM": "linux"}, "ascii"),
        (None, {"LANG": "C.UTF-8", "TERM": "dumb"}, "ascii"),
        ("unicode", {"LANG": "C", "TERM": "linux"}, "unicode"),
        ("ascii", {"LANG": "C.UTF-8"}, "ascii"),
    ],
)
def test_glyphs_are_those_that_the_terminal_can_show(
    preference: str | None, environ: dict[str, str], name: str
) -> None:
    assert palette.glyphs(preference, environ).name == name
