def build_wheel(folder, config_settings=None, metadata_directory=None):
    print("the beginning of it")
    for number in range(20000):
        print("line", number)
    raise SystemExit("the end of it")
