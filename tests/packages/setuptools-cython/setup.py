from setuptools import Extension, setup

setup(name="sample", version="1.0", ext_modules=[Extension("sample", ["sample.pyx"])])
