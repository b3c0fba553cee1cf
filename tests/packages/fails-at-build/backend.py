def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise RuntimeError("the moon is in the wrong quarter")
