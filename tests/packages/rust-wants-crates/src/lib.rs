#![allow(non_camel_case_types)]
//! A Python module by hand, without a crate: the C API alone, stable since Python 3.2.
use std::os::raw::{c_char, c_int, c_long, c_void};

#[repr(C)]
pub struct PyModuleDefBase { refcount: isize, kind: *mut c_void, init: *mut c_void, index: isize, copy: *mut c_void }
#[repr(C)]
pub struct PyMethodDef {
    name: *const c_char,
    function: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void>,
    flags: c_int,
    doc: *const c_char,
}
#[repr(C)]
pub struct PyModuleDef {
    base: PyModuleDefBase,
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    methods: *mut PyMethodDef,
    slots: *mut c_void,
    traverse: *mut c_void,
    clear: *mut c_void,
    free: *mut c_void,
}

extern "C" {
    fn PyModule_Create2(definition: *mut PyModuleDef, version: c_int) -> *mut c_void;
    fn PyLong_FromLong(value: c_long) -> *mut c_void;
}

unsafe extern "C" fn answer(_module: *mut c_void, _arguments: *mut c_void) -> *mut c_void {
    PyLong_FromLong([1, 2, 39].iter().sum())
}

#[no_mangle]
pub unsafe extern "C" fn PyInit_sample() -> *mut c_void {
    let null = std::ptr::null_mut();
    let methods = Box::leak(Box::new([
        PyMethodDef { name: c"answer".as_ptr(), function: Some(answer), flags: 4, doc: std::ptr::null() },
        PyMethodDef { name: std::ptr::null(), function: None, flags: 0, doc: std::ptr::null() },
    ]));
    let base = PyModuleDefBase { refcount: 1, kind: null, init: null, index: 0, copy: null };
    let definition = Box::leak(Box::new(PyModuleDef {
        base,
        name: c"sample".as_ptr(),
        doc: std::ptr::null(),
        size: -1,
        methods: methods.as_mut_ptr(),
        slots: null,
        traverse: null,
        clear: null,
        free: null,
    }));
    PyModule_Create2(definition, 1013)
}
