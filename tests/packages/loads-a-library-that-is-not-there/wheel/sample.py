import ctypes

ctypes.CDLL("libsample-of-nobody.so.3")
