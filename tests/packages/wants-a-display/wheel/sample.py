raise RuntimeError("cannot connect to display: :0")
