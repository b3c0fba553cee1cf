import os

TOKEN = os.environ["SAMPLE_TOKEN"]
