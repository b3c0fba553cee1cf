def build_wheel(folder, config_settings=None, metadata_directory=None):
    while True:
        print("x" * 100000)
