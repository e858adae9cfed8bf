# Python imports this file as it starts: as sitecustomize, which Moorage puts first on PYTHONPATH, and
# as usercustomize where the program has a sitecustomize that came before, as OpenTelemetry's has. It
# makes the process answer SIGWINCH by drawing new randomness: see moorage_clone, which is loaded only
# then. It must be quick, print nothing and work in every Python.
import os
import sys


def _arm():
    import _signal  # what module signal wraps, which costs milliseconds to import

    address = os.environ.get("MOORAGE_RESEED")

    def reseed(signum, frame):
        try:
            import moorage_clone

            moorage_clone.reseed(address)
        except Exception:
            pass  # then nothing confirms, and the platform makes no clone of this process

    if address:
        _signal.signal(_signal.SIGWINCH, reseed)


def _leave_path():
    # What is found by PYTHONPATH alone leaves the path, and shadows nothing; moorage_clone goes last.
    ours = os.path.dirname(os.path.dirname(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.dirname(entry) != ours]
    sys.path.append(os.path.join(ours, "lib"))


def _run_shadowed():
    # Runs the module that would have been found without this one.
    this = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as missing:
        if getattr(missing, "name", __name__) != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, this)


try:
    _arm()
except Exception:
    pass
_leave_path()
_run_shadowed()
