def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("sparse", "wb") as file:
        file.truncate(1 << 40)
