# Moorage puts this file's directory first on PYTHONPATH, so that Python imports it as it starts. It
# makes the process answer SIGWINCH by drawing new randomness: see moorage_clone, beside this file,
# which is loaded only then. It must be quick, print nothing and work in every Python.
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


def _run_shadowed():
    # Runs the sitecustomize that would have been found without this one. The directory moves to the
    # end of the path, where it shadows nothing.
    here = os.path.dirname(__file__)
    ours = sys.modules.pop(__name__)
    sys.path.remove(here)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as missing:
        if getattr(missing, "name", __name__) != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, ours)
        sys.path.append(here)


try:
    _arm()
except Exception:
    pass
_run_shadowed()
