raise RuntimeError('nobody imports the tests')
