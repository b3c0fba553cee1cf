import signal
import time

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(1)
