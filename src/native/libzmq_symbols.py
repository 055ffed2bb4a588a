"""Make the functions of pyzmq's libzmq visible to the compiled modules.

They leave libzmq's functions undefined when they are linked, so that no libzmq
needs to be installed to build them, and so that they use the same library as
pyzmq. Importing this module makes those functions global in the process; it
has to come before the first compiled module.
"""

import ctypes

import zmq.backend.cython._zmq as _pyzmq_core

ctypes.CDLL(_pyzmq_core.__file__, mode=ctypes.RTLD_GLOBAL)
