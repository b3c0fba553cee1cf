import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for _ in range(600):
            with open("/tmp/alive", "w") as file:
                file.write(repr(time.monotonic()))
            time.sleep(0.02)
    os._exit(0)
while not os.path.exists("/tmp/alive"):
    time.sleep(0.01)
