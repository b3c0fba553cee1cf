raise RuntimeError("the build forgot a file")
