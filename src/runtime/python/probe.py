# Says what this interpreter is: the last line of its output is JSON with one key, `interpreter`, `elsewhere`
# (this is a copy inside a virtual environment, ask that one) or `refused`. The syntax is Python 2's as well,
# so that an old interpreter can say that it is old.
import sys

# `-c` puts the working directory first; nothing in it may shadow the standard library.
sys.path[:] = [entry for entry in sys.path if entry]


def version():
    info = sys.version_info
    text = "%d.%d.%d" % tuple(info[:3])
    suffix = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(info[3])
    return text + "%s%d" % (suffix, info[4]) if suffix else text


def origin(executable):
    """The interpreter that a virtual environment was made of; None outside of one."""
    import os

    here = os.path.dirname(executable)
    for directory in (here, os.path.dirname(here)):
        try:
            with open(os.path.join(directory, "pyvenv.cfg"), encoding="utf-8", errors="surrogateescape") as file:
                lines = file.readlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip().lower() == "home":
                return original(executable, value.strip())
    return None


def original(executable, home):
    import os

    names = ["python%d.%d" % tuple(sys.version_info[:2]), "python3", "python"]
    found = [getattr(sys, "_base_executable", None)] + [os.path.join(home, name) for name in names]
    for path in found:
        if path and os.path.isfile(path) and not os.path.samefile(path, executable):
            return path
    return None


def loader(executable):
    """The program that loads an ELF file (its PT_INTERP), None where it is static."""
    import struct

    with open(executable, "rb") as file:
        ident = file.read(16)
        wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"

        def number(kind, at):
            file.seek(at)
            return struct.unpack(order + kind, file.read(struct.calcsize(order + kind)))[0]

        table = number("Q", 32) if wide else number("I", 28)
        size, count = number("H", 54 if wide else 42), number("H", 56 if wide else 44)
        for at in range(table, table + size * count, size):
            if number("I", at) == 3:
                offset = number("Q", at + 8) if wide else number("I", at + 4)
                length = number("Q", at + 32) if wide else number("I", at + 16)
                file.seek(offset)
                return file.read(length).rstrip(b"\0")
    return None


def libc(executable):
    """Family and version of the C library; musl says its own only when its loader is run."""
    import os
    import re

    try:
        found = re.match(r"glibc (\d+\.\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
        if found:
            return "glibc", found.group(1)
    except (ValueError, OSError):
        pass
    program = loader(executable)
    if program and b"musl" in program:
        import subprocess

        said = subprocess.run([program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        found = re.search(r"musl.*\nVersion (\d+\.\d+)", said.stderr.decode("utf-8", "replace"))
        if found:
            return "musl", found.group(1)
    return None


def library():
    """The shared libpython that this process really runs, None where it is inside the executable."""
    import os
    import re
    import sysconfig

    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return None
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                path = line.rstrip("\n").split(None, 5)[5:]
                # Not `libpython3.so`, which only forwards the stable ABI.
                if path and re.match(r"libpython\d+\.\d+", os.path.basename(path[0])):
                    return path[0]
        return None
    except OSError:
        directory = sysconfig.get_config_var("LIBDIR") or os.path.join(sys.base_prefix, "lib")
        name = sysconfig.get_config_var("INSTSONAME") or sysconfig.get_config_var("LDLIBRARY") or ""
        path = os.path.join(directory, name)
        return path if name and os.path.isfile(path) else None


def machine():
    """The machine this process is for: a 32-bit Python may run on a 64-bit kernel."""
    import os

    name = os.uname().machine
    if sys.maxsize <= 2**32:
        name = {"x86_64": "i686", "aarch64": "armv7l"}.get(name, name)
    return name


def facts(family, libc_version):
    import sysconfig
    from importlib.util import MAGIC_NUMBER

    # Distributions patch the default scheme (`/usr/local`, `dist-packages`); an environment has neither.
    names = sysconfig.get_scheme_names()
    scheme = "venv" if "venv" in names else "posix_prefix"
    root = dict.fromkeys(["base", "platbase", "installed_base", "installed_platbase"], "/env")
    paths = sysconfig.get_paths(scheme, root)
    debug = sysconfig.get_config_var("Py_DEBUG")
    if debug is None:
        debug = hasattr(sys, "gettotalrefcount")
    return {
        "implementation_name": sys.implementation.name,
        "major_minor": "%d.%d" % tuple(sys.version_info[:2]),
        "purelib": paths["purelib"][len("/env/"):],
        "platlib": paths["platlib"][len("/env/"):],
        "magic": MAGIC_NUMBER.hex(),
        "cache_tag": sys.implementation.cache_tag or "",
        "gil_disabled": "1" if sysconfig.get_config_var("Py_GIL_DISABLED") else "0",
        "debug": "1" if debug else "0",
        "libc_family": family,
        "libc_version": libc_version,
        "base_prefix": sys.base_prefix,
    }


def answer():
    refused = {"version": version()}
    if sys.version_info < (3, 8):
        refused["reason"] = "older than 3.8"
        return {"refused": refused}
    if sys.implementation.name != "cpython":
        refused["reason"] = "%s, not CPython" % sys.implementation.name
        return {"refused": refused}
    if not sys.executable:
        refused["reason"] = "without knowledge of its own path"
        return {"refused": refused}
    elsewhere = origin(sys.executable)
    if elsewhere:
        return {"elsewhere": elsewhere}
    import sysconfig

    found = libc(sys.executable)
    if not found:
        refused["reason"] = "linked to a C library that is neither glibc nor musl"
        return {"refused": refused}
    return {
        "interpreter": {
            "executable": sys.executable,
            "version": version(),
            "abi": sysconfig.get_config_var("SOABI") or "",
            "platform": sysconfig.get_platform(),
            "machine": machine(),
            "library": library(),
            "facts": facts(*found),
        }
    }


def main():
    try:
        import json

        said = json.dumps(answer())
    except ImportError as error:
        # Distributions split the standard library; `error.name` is a plain module name.
        reason = "without the module `%s`" % getattr(error, "name", "json")
        said = '{"refused": {"version": "%s", "reason": "%s"}}' % (version(), reason)
    sys.stdout.write("\n" + said + "\n")


main()
