# SPDX-License-Identifier: Apache-2.0
"""The files that git tracks, as the rules of tidy.py read them: names, text, comments, code without
comments.

Used by every rule beside it. It must never write into the tree.
"""
import io
import re
import subprocess
import tokenize
from functools import cache
from pathlib import Path, PurePosixPath

INCLUDE = re.compile(r'\s*#\s*include "([^"]+)"')
SOURCES = (".cc", ".h", ".c", ".S")


class Skipped(Exception):
    """A rule cannot be checked on this machine; the message says why."""


def folder(name):
    """The folder of a tracked file; "" is the root."""
    return name.rpartition("/")[0]


def room(name):
    """The folder of a tracked file; a testing/ folder belongs to the room that it is in."""
    return re.sub(r"(^|/)testing$", "", folder(name))


class Tree:
    def __init__(self, root):
        self.root = Path(root)
        try:
            listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True)
        except FileNotFoundError:
            raise Skipped("git is not installed") from None
        if listed.returncode:
            raise SystemExit(f"tidy: {listed.stderr.strip()}")
        tracked = [name for name in listed.stdout.split("\0") if name]
        self.names = [name for name in tracked if (self.root / name).is_file()]
        self.present = set(self.names)
        self.folders = {str(parent) for name in self.names for parent in PurePosixPath(name).parents} - {"."}

    @cache
    def text(self, name):
        return (self.root / name).read_text(errors="replace")

    @cache
    def lines(self, name):
        return self.text(name).splitlines()

    def sources(self, *tops):
        """C, C++ and assembly, of these folders at the top or of all."""
        return [name for name in self.names if name.endswith(SOURCES) and (not tops or name.split("/")[0] in tops)]

    @cache
    def includes(self, name):
        """[(line, what is included with quotes)]"""
        found = [(number, INCLUDE.match(line)) for number, line in enumerate(self.lines(name), 1)]
        return [(number, match.group(1)) for number, match in found if match]

    @cache
    def code(self, name):
        """The text of a source with each comment as spaces, so that positions stay."""
        return _split(self.text(name))[0]

    @cache
    def comments(self, name):
        """[(line, text)] of the comments; in Markdown, everything."""
        text = self.text(name)
        if name.endswith(".md"):
            return list(enumerate(text.splitlines(), 1))
        if name.endswith(SOURCES):
            return list(enumerate(_split(text)[1].splitlines(), 1))
        if name.endswith(".py"):
            return list(_python_comments(text))
        return [(number, line[line.index("#"):]) for number, line in enumerate(text.splitlines(), 1)
                if re.search(r"(^|\s)#", line)]


def line_at(text, position):
    return text.count("\n", 0, position) + 1


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def _split(text):
    """C text as (code, comments), both with the other blanked."""
    code, comments, done = [], [], 0
    for match in TOKEN.finditer(text):
        between, found = text[done:match.start()], match.group()
        is_comment = found.startswith(("//", "/*"))
        code += [between, _blank(found) if is_comment else found]
        comments += [_blank(between), found if is_comment else _blank(found)]
        done = match.end()
    return "".join([*code, text[done:]]), "".join([*comments, _blank(text[done:])])


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def _python_comments(text):
    """Comments, and strings that stand alone: docstrings."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return
    before = tokenize.NEWLINE
    for token in tokens:
        is_docstring = token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.NL)
        if token.type == tokenize.COMMENT or (is_docstring and token.string.endswith('"""')):
            yield from enumerate(token.string.split("\n"), token.start[0])
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type
