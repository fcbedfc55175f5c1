# Imports the modules it is given, one after the other, and says on its first output what became of each: one JSON object a line.
# What modules print goes to the second. A module that takes too long ends the process by SIGALRM.
import importlib
import json
import os
import signal
import sys
import traceback

limit, modules = int(sys.argv[1]), sys.argv[2:]
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def say(what, of, text=None):
    out.write(json.dumps([what, of, text]) + "\n")
    out.flush()


say("python", "%d.%d.%d" % tuple(sys.version_info[:3]), sys.prefix)
for module in modules:
    say("begun", module)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(limit)
    try:
        importlib.import_module(module)
    except BaseException as error:
        lines = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()
        say("failed", module, lines[-1] if lines else type(error).__name__)
    else:
        say("done", module)
    signal.alarm(0)
os._exit(0)
