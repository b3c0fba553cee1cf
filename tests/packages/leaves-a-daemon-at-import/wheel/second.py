import time

with open("/tmp/alive") as file:
    before = file.read()
time.sleep(0.3)
with open("/tmp/alive") as file:
    assert file.read() == before, "what the import of another module left behind still lives"
