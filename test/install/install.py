#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`cmake --install`: what it copies, and that mino works from there without the build tree.

    install.py BUILD_DIR     exit status 0 passed, 1 failed, 77 cannot run here

Installs into an empty prefix, moves the prefix, covers the build tree with an empty file system in
a mount namespace of its own, and runs `./quickstart --installed` and some commands. It must leave
no file and no device behind.
"""

import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY / "build"
VERSION = re.search(r"project\(mino VERSION ([0-9.]+)", (REPOSITORY / "CMakeLists.txt").read_text()).group(1)
ABI = re.search(r"kVersion = (\d+);", (REPOSITORY / "abi" / "limits.h").read_text()).group(1)
ENVIRONMENT = {key: value for key, value in os.environ.items()
               if not key.startswith("MINO_") and not key.lower().endswith("_proxy")}
PROGRAMS = ["bin/mino", "sbin/minod"]
LIBRARIES = ["lib/mino/libminoc.so", "lib/mino/libminoc-preload.so"]
KERNEL = "lib/mino/kernel/linux"
UNIT = "lib/systemd/system/minod.service"
DOCUMENTS = "share/doc/mino/"
NOT_STARTED = 125


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, want, what):
    check(got == want, f"{what}: got {got!r}, want {want!r}")


def execute(*argv, status=0, **environment):
    """Runs a command, which must end with `status`; returns its output, both streams."""
    result = subprocess.run([str(arg) for arg in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=60, stdin=subprocess.DEVNULL, check=False, env={**ENVIRONMENT, **environment})
    equal(result.returncode, status, f"exit status of {' '.join(map(str, argv))}:\n{result.stdout}\n")
    return result.stdout


def expected():
    """Each file below the prefix, with its mode."""
    documents = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
    documents += [str(path.relative_to(REPOSITORY)) for pattern in ("doc/**/*.md", "LICENSES/*")
                  for path in REPOSITORY.glob(pattern)]
    executable = PROGRAMS + LIBRARIES + ([KERNEL] if (BUILD / "kernel" / "linux").exists() else [])
    plain = [UNIT, DOCUMENTS + "examples/minod.toml"] + [DOCUMENTS + name for name in documents]
    return {**dict.fromkeys(executable, 0o755), **dict.fromkeys(plain, 0o644)}


def content(prefix):
    """Each file below the prefix, and each empty folder."""
    return {str(path.relative_to(prefix)): path.lstat().st_mode & 0o7777 for path in prefix.rglob("*")
            if not path.is_dir() or not any(path.iterdir())}


def check_files(prefix, what):
    got, want = content(prefix).items(), expected().items()
    differences = [f"{name} ({mode:o}) {problem}" for pairs, problem in
                   ((want - got, "is not there"), (got - want, "is not expected")) for name, mode in sorted(pairs)]
    check(not differences, f"{what}: " + "; ".join(differences))


def files(scratch, prefix):
    execute("cmake", "--install", BUILD, "--prefix", prefix)
    check_files(prefix, "the installed files")
    unit = (prefix / UNIT).read_text()
    check(f"\nExecStart={prefix}/sbin/minod " in unit and "@" not in unit, f"the unit does not name minod:\n{unit}")
    # As packages are made: the files go below DESTDIR, which nothing in them may name.
    stage = scratch / "stage"
    execute("cmake", "--install", BUILD, "--prefix", "/opt/mino", DESTDIR=str(stage))
    check_files(stage / "opt" / "mino", "the files installed with DESTDIR")
    unit = (stage / "opt" / "mino" / UNIT).read_text()
    check("\nExecStart=/opt/mino/sbin/minod " in unit and str(stage) not in unit, f"the unit, with DESTDIR:\n{unit}")
    shutil.rmtree(stage)
    # systemd wants an absolute path, whatever the prefix was given as; and files have their modes under any umask.
    (scratch / "place").mkdir()
    execute("sh", "-c", f"umask 077 && cd {scratch}/place && cmake --install {BUILD} --prefix out")
    place = scratch / "place" / "out"
    check_files(place, "the files installed with a relative prefix")
    unit = (place / UNIT).read_text()
    check(f"\nExecStart={place}/sbin/minod " in unit, f"the unit, with a relative prefix:\n{unit}")
    shutil.rmtree(place)


def linked(prefix):
    for name in PROGRAMS + LIBRARIES:
        dynamic = execute("readelf", "-d", prefix / name)
        check("RPATH" not in dynamic and "RUNPATH" not in dynamic, f"{name} looks for libraries by itself:\n{dynamic}")
        if name in LIBRARIES:
            check(f"soname: [{pathlib.Path(name).name}]" in dynamic, f"{name} has another soname:\n{dynamic}")
            check("(NEEDED)" not in dynamic, f"{name} links a library:\n{dynamic}")


def hide(directory):
    """Covers `directory` with an empty file system, for this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, recursive_private = 0x20000, 0x4000 | 0x40000  # CLONE_NEWNS; MS_REC | MS_PRIVATE
    done = (libc.unshare(new_namespace) == 0
            and libc.mount(None, b"/", None, ctypes.c_ulong(recursive_private), None) == 0
            and libc.mount(b"none", os.fsencode(directory), b"tmpfs", ctypes.c_ulong(0), None) == 0)
    check(done, f"cannot cover {directory}: {os.strerror(ctypes.get_errno())}")
    check(not any(directory.iterdir()), f"{directory} can still be seen")


class Device:
    def __init__(self, prefix, run_dir):
        self.prefix, self.run_dir = prefix, run_dir

    def mino(self, *argv, status=0):
        return execute(self.prefix / "bin" / "mino", "--run-dir", self.run_dir, *argv, status=status)

    def refused(self, name, places, remedy, *argv, status=1):
        """The command fails while `name` is away, and says where it should have been."""
        path = self.prefix / name
        if path.exists():
            path.rename(f"{path}.away")
        text = self.mino(*argv, status=status)
        for part in [f"{self.prefix / place}" for place in places] + [remedy]:
            check(part in text, f"mino {' '.join(argv)} without {name} does not say {part!r}: {text!r}")
        if pathlib.Path(f"{path}.away").exists():
            pathlib.Path(f"{path}.away").rename(path)


def proof(prefix):
    said = execute(REPOSITORY / "quickstart", "--installed", prefix)
    check("It works." in said and f"installed at {prefix}" in said, f"quickstart:\n{said}")
    check(str(BUILD) not in said, f"quickstart speaks of the build tree:\n{said}")


def native(device):
    install = f"cmake --install BUILD --prefix {device.prefix}"
    device.refused("sbin/minod", ["sbin/minod", "bin/minod"], install, "up")
    device.mino("up")
    equal(device.mino("run", "--", "echo", "a"), "a\n", "a program")
    equal(device.mino("run", "--load", "--", "echo", "b"), "b\n", "a program that libminoc.so loads")
    equal(device.mino("run", "--hook", "preload", "--", "echo", "c"), "c\n", "a program with --hook preload")
    for library, hook in zip(LIBRARIES, ("auto", "preload")):
        device.refused(library, [library, f"bin/{pathlib.Path(library).name}"], install,
                       "run", "--hook", hook, "--", "true", status=NOT_STARTED)
    device.mino("down")


def linux(device):
    if (device.prefix / KERNEL).exists():
        device.mino("up", "--engine", "linux")
        status = json.loads(device.mino("status", "--json"))
        check(status["instances"][0]["kernel"].endswith("-mino"), f"the linux engine's kernel: {status['instances']}")
        equal(device.mino("run", "--", "echo", "d"), "d\n", "a program with the linux engine")
        device.mino("down")
    else:
        print("the linux engine's kernel is not built: only its absence is tested")
    device.refused(KERNEL, [KERNEL, "sbin/kernel/linux"], "kernel/build.sh --output", "up", "--engine", "linux")


def main():
    if os.geteuid() != 0:
        print("skipped: needs root")
        return 77
    tools = ("cmake", "readelf", "nginx", "curl", "ss")
    if missing := [tool for tool in tools if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")]:
        print(f"skipped: not installed: {', '.join(missing)}")
        return 77
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="mino-install-"))
    scratch.chmod(0o755)
    device = Device(scratch / "moved" / "mino", scratch / "run")
    try:
        files(scratch, scratch / "prefix")
        linked(scratch / "prefix")
        device.prefix.parent.mkdir()
        (scratch / "prefix").rename(device.prefix)
        hide(BUILD)
        for name in PROGRAMS:
            equal(execute(device.prefix / name, "--version"),
                  f"{pathlib.Path(name).name} {VERSION} (ABI {ABI})\n", f"{name} --version")
        proof(device.prefix)
        native(device)
        linux(device)
        left = [path.name for path in device.run_dir.iterdir() if not path.name.startswith("minod.log")]
        equal(left, [], "what the devices left")
    except (Failure, subprocess.TimeoutExpired) as failure:
        print(f"install: {failure}")
        return 1
    finally:
        if (device.run_dir / "control.sock").exists():
            subprocess.run([device.prefix / "bin" / "mino", "--run-dir", device.run_dir, "down"], timeout=30,
                           env=ENVIRONMENT, check=False)
        shutil.rmtree(scratch)
    print("install: passed")
    return 0


sys.exit(main())
