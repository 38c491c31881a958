# SPDX-License-Identifier: Apache-2.0
"""Every function that a header of hook/ declares is defined in the .cc or .S file of that name.

preload/ is exempt: macros give its functions the names of libc's functions.
"""
import re

from tree import line_at

RULE = "declarations"
ATTRIBUTE = re.compile(r"\[\[.*?\]\]|__attribute__\s*\(\(.*?\)\)|\basm\s*\([^()]*\)|\bnoexcept\b", re.DOTALL)
# What ends in a semicolon and has parentheses, but declares no function that must be defined.
OTHER = re.compile(r"^\s*(using|typedef|friend|static_assert|return|namespace|asm)\b|=\s*(default|delete|0)\s*$"
                   r"|\(\s*\*")
FUNCTION = re.compile(r"(~?[A-Za-z_]\w*|operator\s*[^\s\w(]+|operator\s*\(\))\s*\(")
LITERAL = re.compile(r"(?<!\w)'(?:\\.|[^'\\\n])+'|\"(?:\\.|[^\"\\\n])*\"")
SCOPE = re.compile(r'(?:^|\s)(?:inline\s+)?namespace\b[^;()=]*$|extern\s+"C"\s*$')
TYPE = re.compile(r"(?:^|\s)(?:struct|class|union)\s+(?:alignas\([^)]*\)\s*)?(\w+)[^;()=]*$")


def check(tree):
    for header in tree.sources("hook"):
        if not header.endswith(".h") or header.startswith("hook/preload/"):
            continue
        declared, defined = functions(tree.code(header))
        stem = header[:-len(".h")]
        for ending in (".cc", ".S"):
            if stem + ending in tree.present:
                code = tree.code(stem + ending)
                defined |= functions(code)[1] if ending == ".cc" else {}
                defined |= {label: 0 for label in re.findall(r"^(\w+):", code, re.M)}
        for name, line in declared.items():
            if name not in defined:
                yield header, line, f"{name} is defined neither in {stem.split('/')[-1]}.cc nor in the .S of that name"


def functions(code):
    """({declared: line}, {defined: line}); the name of a member has its type's name before it."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()), code, flags=re.M)
    text = LITERAL.sub(lambda m: m.group() if m.group() == '"C"' else " " * len(m.group()), text)
    declared, defined = {}, {}
    scopes, begin, at, parentheses = [], 0, 0, 0
    while at < len(text):
        letter = text[at]
        if letter in "()":
            parentheses += 1 if letter == "(" else -1
        elif parentheses:
            pass
        elif letter == ";":
            statement = re.sub(r"=\s*default\s*$", "", text[begin:at])
            is_default = len(statement) < at - begin and "::" in statement
            note(statement if is_default else text[begin:at], begin, text, scopes, defined if is_default else declared)
            begin = at + 1
        elif letter == "}":
            if scopes:
                scopes.pop()
            begin = at + 1
        elif letter == "{":
            head = ATTRIBUTE.sub("", text[begin:at])
            type_name = TYPE.search(head)
            if SCOPE.search(head.strip()):
                scopes.append(None)
                begin = at + 1
            elif type_name:
                scopes.append(type_name.group(1))
                begin = at + 1
            else:
                body = closing(text, at)
                if note(text[begin:at], begin, text, scopes, defined):
                    begin = body + 1
                at = body  # of something else, as = {…}: the statement goes on
        elif letter == ":" and text[begin:at].strip() in ("public", "private", "protected"):
            begin = at + 1
        at += 1
    return declared, defined


def closing(text, at):
    depth = 0
    for here in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[here], 0)
        if depth == 0:
            return here
    return len(text)


def note(statement, begin, text, scopes, found):
    """Whether the statement's head is that of a function; if so, it is in found."""
    head = re.sub(r"\s+", " ", ATTRIBUTE.sub("", statement)).strip()
    head = re.sub(r"<[^<>()]*>|\[[^\[\]]*\]", "", head)
    match = FUNCTION.search(head)
    if not match or OTHER.search(head) or "=" in head[:head.find("(")].replace("operator=", ""):
        return False
    before = head[:match.start()]
    qualified = re.search(r"((?:\w+::)+)$", before)
    outer = [scope for scope in scopes if scope] + (qualified.group(1).strip(":").split("::") if qualified else [])
    if not before.strip() and not outer:
        return False  # a macro's call
    name = "::".join([*outer[-1:], match.group(1)])
    found.setdefault(name, line_at(text, begin + len(statement) - len(statement.lstrip())))
    return True
