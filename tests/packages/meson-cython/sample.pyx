def answer():
    cdef int value = 42
    return value
