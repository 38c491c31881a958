# SPDX-License-Identifier: Apache-2.0
"""The kernel's constants have one definition, in hook/base/uapi.h or the headers that it includes,
and are used by name.

Reported anywhere: the number of a call compared with a literal, and a raw call by a literal.
Reported in hook/: a constant of our own that is a kernel constant again: kFGetFd, kSymlinkNofollow
or kNoEnt with the value of F_GETFD, AT_SYMLINK_NOFOLLOW or ENOENT. A name without the kernel's
prefix counts only if it also has the kernel's value.
"""
import platform
import re
from functools import cache
from pathlib import Path

from tree import Skipped, line_at

RULE = "constants"
HOME = "hook/base/uapi.h"
HEADERS = Path("/usr/include")
LINUX = """audit auxvec bpf_common capability close_range elf eventpoll falloc fcntl filter fs futex if if_addr in
limits magic membarrier memfd mman netlink openat2 personality poll prctl ptrace resource rtnetlink sched seccomp signal
signalfd socket sockios stat tcp time uio wait xattr""".split()
LIBC = """dirent epoll eventfd fcntl-linux fcntl in mman mman-linux mman-map-flags-generic poll resource sched sigaction
siginfo-consts signum-arch signum-generic socket socket_type ss_flags stat statx-generic waitflags""".split()
ASM = ("prctl", "mman", "signal", "hwcap2", "fcntl", "socket", "sockios")
# A name whose last word is one of these is a kernel name even with a small value.
SURE = ("AF", "CLD", "EPOLL", "IFA", "MAP", "P", "PROT", "PTRACE", "SI", "SIG")
# Names and values that the kernel has and that are ours all the same, each with the reason.
OWN = {"kSigHold"}  # SIG_HOLD is libc's: the kernel has no such handler
LITERAL = r"-?(?:0[xX][\da-fA-F']+|\d[\d']*)[uUlL]*\b"
NUMBER = r"\bnr\b"
COMPARISON = r"\s*(?:[=!]=|[<>]=?)\s*"
COMPARED = re.compile(rf"{NUMBER}{COMPARISON}{LITERAL}|{LITERAL}{COMPARISON}(?:\w+(?:\.|->))*{NUMBER}")
SWITCH = re.compile(r"\bswitch\s*\([^(){]*\bnr\s*\)\s*\{")
RAW_CALL = re.compile(rf"\braw\(\s*{LITERAL}\s*[,)]")
DEFINED = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+([^\n\\]+)$", re.M)
CONSTANT = re.compile(r"\bconstexpr\b[^;={}()]*?\b(k[A-Z]\w*\s*=[^;]*);")

# Casts, and what looks like one.
TYPE = re.compile(r"static_cast<[^<>]*>|\bu?int\d+_t\b|\b[ui](?:8|16|32|64)\b"
                  r"|\(\s*(?:unsigned|int|long|__u32|__u64)\s*\)")


def check(tree):
    # In all of the tree: which call it is, nobody tells by a bare number.
    for name in tree.sources():
        if not name.startswith("hook/"):
            yield from ((name, line, message) for line, message in literals(tree.code(name)))
    sources = [name for name in tree.sources("hook") if name != HOME]
    if not sources:
        return
    kernel = kernel_constants(tree)
    seen = {}
    for name in sources:
        code = tree.code(name)
        for line, message in [*literals(code), *again(tree, name, kernel)]:
            yield name, line, message
        for own, text, at in constants(code):
            value, here = evaluate(text), (name, line_at(code, at))
            if value is None or own in OWN or kernels(own, value, kernel):
                continue
            first = seen.setdefault((own, value), here)
            if first != here:
                yield *here, f"{own} has the same value at {first[0]}:{first[1]}"
    if HOME in tree.present:
        yield from twice(tree)


def literals(code):
    for pattern, message in ((COMPARED, "the number of a call is compared with a literal: use its __NR_ name"),
                             (RAW_CALL, "a raw call by a literal: use its __NR_ name")):
        for match in pattern.finditer(code):
            yield line_at(code, match.start()), message
    for match in SWITCH.finditer(code):
        depth, end = 1, match.end()
        while depth and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        for case in re.finditer(rf"\bcase\s+{LITERAL}\s*(?:\.\.\.|:)", code[match.end():end]):
            yield line_at(code, match.end() + case.start()), "a case by the number of a call: use its __NR_ name"


def again(tree, name, kernel):
    """The kernel constants, judged by their names or by what their comments say."""
    code, lines = tree.code(name), tree.lines(name)
    for own, text, at in constants(code):
        value, line = evaluate(text), line_at(code, at)
        if value is None or own in OWN:
            continue
        comment = re.search(r"//\s*(\w+)\b", lines[line - 1])
        told = comment and comment.group(1)
        found = kernels(own, value, kernel) or (told if kernel["values"].get(told) == abs(value) else None)
        if found:
            yield line, f"{own} is the kernel's {found}: use that, from {HOME}"


def kernels(own, value, kernel):
    """The kernel's name for one of our own names, or None."""
    name = re.sub("^(k|NR_)", "", own).replace("_", "").upper()
    for found in kernel["whole"].get(name, ()):
        if kernel["values"][found] in (value, None):
            return found
    found = [theirs for theirs, number in kernel["tails"].get(name, ())
             if number == value or (re.fullmatch("E[A-Z0-9]+", theirs) and number == -value)]
    return min(found, key=lambda theirs: (theirs.count("_"), theirs), default=None)


def twice(tree):
    seen = {}
    code = tree.code(HOME)
    for own, _, at in constants(code):
        line = line_at(code, at)
        if seen.setdefault(own, line) != line:
            yield HOME, line, f"{own} is defined in line {seen[own]}"


def constants(code):
    """(name, value's text, position) of each macro and each constexpr named k…"""
    for match in DEFINED.finditer(code):
        yield match.group(1), match.group(2), match.start(1)
    for match in CONSTANT.finditer(code):
        begin, depth = match.start(1), 0
        for at in range(match.start(1), match.end(1) + 1):
            letter = code[at] if at < match.end(1) else ","
            depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(letter, 0)
            if letter == "," and depth == 0:
                own = re.match(r"\s*(k[A-Z]\w*)\s*=\s*(.*)", code[begin:at], re.DOTALL)
                if own:
                    yield own.group(1), own.group(2), begin + own.start(1)
                begin = at + 1


def evaluate(text, names=None):
    """The value of an expression of literals and of names that have values; None for anything else.
    """
    text = re.sub(r"/\*.*?\*/|//.*", "", text)
    text = TYPE.sub("", text)
    text = text.replace("{", "(").replace("}", ")")
    text = re.sub(r"'(.)'", lambda m: str(ord(m.group(1))), text)
    text = re.sub(r"(?<=[\da-fA-F])'(?=[\da-fA-F])", "", text)
    text = re.sub(r"\b(0[xX][\da-fA-F]+|\d+)[uUlL]*\b", lambda m: literal(m.group(1)), text).strip()
    for _ in range(8):
        if not names or not re.search(r"[A-Za-z_]\w*", re.sub(r"0x[\da-f]+", "", text)):
            break
        text = re.sub(r"\b[A-Za-z_]\w*",
                      lambda m: m.group() if names.get(m.group()) is None else f"({names[m.group()]})", text)
    if not re.fullmatch(r"[\d\s()|&~+*<>-]+", text):
        return None
    try:
        value = eval(text, {"__builtins__": {}})  # digits and operators
    except (SyntaxError, TypeError, ValueError, OverflowError, MemoryError):
        return None
    return value if isinstance(value, int) else None


def literal(text):
    """C's octal and hexadecimal numbers in decimal."""
    return str(int(text, 16 if text[1:2] in "xX" and text[1:] else 8 if text[0] == "0" and len(text) > 1 else 10))


def squeeze(name):
    """Where our CamelCase and the kernel's underscores meet: F_GETFD and kFGetFd become FGETFD."""
    return re.sub("^(__NR_|_+)", "", name).replace("_", "").upper()


@cache
def header_values(more):
    """{name: value or None} from the headers of kernel and libc, and from these, named as they are
    included.
    """
    local = HEADERS / f"{platform.machine()}-linux-gnu"
    calls = local / "asm/unistd_64.h"
    if not calls.exists():
        calls = HEADERS / "asm-generic/unistd.h"
    if not calls.exists() or not (HEADERS / "linux/fcntl.h").exists():
        raise Skipped("the kernel's headers (linux-libc-dev) are not installed")
    paths = [HEADERS / "linux" / f"{name}.h" for name in LINUX]
    paths += sorted(path for path in (HEADERS / "asm-generic").glob("*.h") if path.name != "unistd.h")
    paths += [local / "asm" / f"{name}.h" for name in ASM] + [local / "bits" / f"{name}.h" for name in LIBC]
    paths += [place / name for name in more for place in (HEADERS, local)]
    values = {}
    for path in [calls, *dict.fromkeys(paths)]:
        if path.exists():
            values.update(definitions(path.read_text(errors="replace"), values))
    return values


def definitions(text, known):
    """{name: value or None} of a header's macros and enumerators."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text.replace("\\\n", " "), flags=re.DOTALL)
    text = re.sub(r"//.*", "", text)
    found = {}
    for body in re.findall(r"\benum\b[^{};]*\{([^}]*)\}", text):
        last = -1
        for item in re.sub(r"(?m)^\s*#.*", "", body).split(","):
            match = re.match(r"\s*([A-Z_]\w*)\s*(?:=\s*(.+))?$", item.strip(), re.DOTALL)
            if match:
                value = None if last is None else last + 1
                last = found[match.group(1)] = evaluate(match.group(2), known | found) if match.group(2) else value
    for name, body in DEFINED.findall(text):
        value = evaluate(body, known | found)
        if value is not None or name not in found:
            found[name] = value
    return {name: value for name, value in found.items() if re.fullmatch(r"_*[A-Z][A-Z0-9_]+|__NR_\w+|[A-Z]\w+", name)}


def kernel_constants(tree):
    """The kernel's names, by what squeeze() makes of each. "whole": {name: [kernel's name]}. "tails":
    without first words, {name: [(kernel's name, value)]}. And the "values".
    """
    ours = tree.text(HOME) if HOME in tree.present else ""
    values = dict(header_values(tuple(re.findall(r"#\s*include <((?:linux|asm)[\w/-]*\.h)>", ours))))
    values |= definitions(ours, values)
    whole, tails = {}, {}
    for name, value in values.items():
        words = re.sub("^(__NR_|_+)", "", name).split("_")
        if len(words) > 1 and not name.startswith("__NR_"):
            whole.setdefault(squeeze(name), []).append(name)
        if value is None or words[0] == "PF":  # as AF
            continue
        if name.startswith("__NR_") or len(words) == 1:
            tails.setdefault(squeeze(name), []).append((name, value))
            if re.fullmatch("E[A-Z0-9]+", name):
                tails.setdefault(name[1:], []).append((name, value))
            continue
        for skip in range(1, len(words)):
            # Anything may be called kFirst or kOut and be small.
            if skip < len(words) - 1 or value not in range(4) or words[0] in SURE:
                tails.setdefault("".join(words[skip:]).upper(), []).append((name, value))
    return {"whole": whole, "tails": tails, "values": values}
