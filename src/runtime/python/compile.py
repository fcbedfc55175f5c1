# Compiles the files named in a list to unchecked-hash bytecode (PEP 552). CPython 3.8 and newer.
#
# Arguments: the environment's directory, the list: source NUL target NUL ..., relative, UTF-8.
# Says on standard output "S", then for each file in order "." (compiled) or "x" (cannot be), then "E".
import sys

del sys.path[0]

import errno
import importlib.util
import marshal
import os
import warnings


def code_bytes(code):
    # References in marshal's output depend on reference counts. Without references (format 2), read back
    # and written again, equal code gives equal bytes. Newer code may hold what format 2 cannot (slices).
    try:
        plain = marshal.dumps(code, 2)
    except ValueError:
        plain = marshal.dumps(code, marshal.version)
        return marshal.dumps(marshal.loads(plain), marshal.version)
    return marshal.dumps(marshal.loads(plain), 4)


def compiled(root, source):
    try:
        with open(os.path.join(root, source), "rb") as file:
            text = file.read()
        name = source.decode("utf-8")
        code = compile(text, name, "exec", dont_inherit=True, optimize=0)
        body = code_bytes(code)
    except Exception:
        return None
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    return header + importlib.util.source_hash(text) + body


def write(target, data):
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(data)


def main(root, listing):
    warnings.simplefilter("ignore")
    with open(listing, "rb") as file:
        names = file.read().split(b"\0")[:-1]
    os.write(1, b"S")
    for source, target in zip(names[::2], names[1::2]):
        data = compiled(root, source)
        if data is not None:
            try:
                write(os.path.join(root, target), data)
            except OSError as error:
                if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST):
                    sys.stderr.write("cannot write bytecode: %s\n" % error)
                    return error.errno if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1
                data = None
        os.write(1, b"x" if data is None else b".")
    os.write(1, b"E")
    return 0


sys.exit(main(os.fsencode(sys.argv[1]), sys.argv[2]))
