"""New randomness for a process whose sandbox was cloned.

Clones begin with one memory, and so with one state of every random generator in it. Before a clone
serves anybody the platform has each Python process in it run reseed, below, which covers

    random          the functions of the module, also where they were imported by name
    ssl, hashlib    OpenSSL's generator: keys, TLS, RAND_bytes; of cryptography and psycopg2 as well
    numpy.random    the functions of the module
    torch           its default generators
    uuid            uuid1; uuid4 asks the kernel
    tempfile        the names
    sqlite3         random() and randomblob()
    bson            the part of an ObjectId that stands for the process

os.urandom and secrets ask the kernel, and never repeat. A generator that a program made for itself,
such as random.Random() or numpy.random.default_rng(), is the program's to reseed:

    try:
        from moorage_clone import on_clone
    except ImportError:          # not on Moorage
        pass
    else:
        @on_clone
        def reseed():
            global rng
            rng = numpy.random.default_rng()

A process that has loaded a generator which nobody can reach says so, and is not cloned.
"""
import os
import sys

_PATIENCE = 5  # seconds for each step of the talk with the platform

_hooks = []
_busy = False


def on_clone(hook):
    """Have hook() called in each clone before it serves anybody. One that raises prevents clones."""
    _hooks.append(hook)
    return hook


def reseed(address):
    """Draw new randomness and tell the platform at address, host:port, that it is done."""
    global _busy
    if _busy:
        return
    _busy = True
    try:
        _answer(address)
    except OSError:
        pass  # nobody asks, or not any more
    finally:
        _busy = False


def _answer(address):
    import _socket  # not socket, which an agent may have patched

    host, _, port = address.rpartition(":")
    platform = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        platform.settimeout(_PATIENCE)
        platform.connect((host, int(port)))
        # What is drawn is drawn after the epoch was read, and so after the clone was made.
        epoch = platform.recv(64).strip()
        if epoch:
            said = "%s %d %s\n" % (epoch.decode(), os.getpid(), _verdict())
            platform.sendall(said.encode("utf-8", "replace"))
            platform.recv(1)  # its end says that it was heard
    finally:
        platform.close()


def _verdict():
    try:
        libraries = _libraries()
        for step in _STEPS:
            step(libraries)
        for hook in _hooks:
            hook()
        return "ok"
    except Exception as err:
        return "no %s: %s" % (type(err).__name__, " ".join(str(err).split()))


class OutOfReach(Exception):
    """A generator that is loaded and cannot be reseeded."""


# Modules in native code that hold a generator of their own, or several interpreters with theirs.
_OUT_OF_REACH = (
    "_interpreters", "_xxsubinterpreters", "apsw", "awscrt", "confluent_kafka", "cupy", "curl_cffi", "duckdb", "fastuuid",
    "grpc._cython.cygrpc", "jpype", "lance", "lancedb", "libsql", "primp", "pysqlite3", "rnet", "sqlcipher3",
    "tensorflow", "uuid_utils",
)


def _refuse(libraries):
    for name in _OUT_OF_REACH:
        if name in sys.modules:
            raise OutOfReach("%s has a random generator of its own" % name)


def _random(libraries):
    module = sys.modules.get("random")
    if module:
        module._inst.seed()  # in place: functions imported by name are its methods


def _openssl(libraries):
    if "_ssl" in sys.modules or "_hashlib" in sys.modules:
        import _ssl

        if not _ssl.OPENSSL_VERSION.startswith("OpenSSL "):
            raise OutOfReach("%s has a random generator of its own" % _ssl.OPENSSL_VERSION)
        # As much entropy as there are bytes makes the root generator reseed, and its children follow.
        _ssl.RAND_add(os.urandom(64), 64.0)
    copies = _named("libcrypto", libraries)
    if len(copies) > ("_ssl" in sys.modules):
        _openssl_copies(copies)
    if "cryptography.hazmat.bindings._rust" in sys.modules:
        _cryptography(sys.modules["cryptography.hazmat.bindings._rust"])


def _openssl_copies(paths):
    import ctypes

    for path in paths:
        add = ctypes.CDLL(path).RAND_add
        add.argtypes, add.restype = (ctypes.c_char_p, ctypes.c_int, ctypes.c_double), None
        add(os.urandom(64), 64, 64.0)


def _cryptography(module):
    # Its wheels have an OpenSSL inside, which it shows to pyOpenSSL.
    try:
        lib = module._openssl.lib
        lib.RAND_add(os.urandom(64), 64, 64.0)
    except AttributeError:
        raise OutOfReach("cryptography has an OpenSSL of its own")


def _numpy(libraries):
    module = sys.modules.get("numpy.random")
    if module:
        module.seed()


def _torch(libraries):
    module = sys.modules.get("torch")
    if module:
        module.seed()


def _uuid(libraries):
    module = sys.modules.get("uuid")
    if module:
        # Every sandbox has one hardware address, and the system's generator keeps a state.
        module._node = int.from_bytes(os.urandom(6), "big") | 1 << 40
        module._generate_time_safe = module._UuidCreate = None


def _tempfile(libraries):
    module = sys.modules.get("tempfile")
    if module:
        module._name_sequence = None  # made anew when it is asked for


def _sqlite(libraries):
    module = sys.modules.get("_sqlite3")
    if module:
        import ctypes

        for path in _named("libsqlite3", libraries) or [getattr(module, "__file__", None)]:
            try:
                forget = ctypes.CDLL(path).sqlite3_randomness
            except AttributeError:
                raise OutOfReach("sqlite3 has a random generator out of reach")
            forget(0, None)


def _bson(libraries):
    module = sys.modules.get("bson.objectid")
    if module:
        module.ObjectId._pid = None  # as after a fork
        module.ObjectId._inc = int.from_bytes(os.urandom(3), "big")


_STEPS = [_refuse, _random, _openssl, _numpy, _torch, _uuid, _tempfile, _sqlite, _bson]


def _libraries():
    """Paths of the libraries in this process."""
    found = set()
    with open("/proc/self/maps", "rb") as maps:
        for line in maps.read().splitlines():
            at = line.find(b"/")
            if at > 0 and b".so" in line:
                found.add(os.fsdecode(line[at:]))
    return found


def _named(name, libraries):
    return [path for path in libraries if os.path.basename(path).startswith(name)]
