import os
import sys

os.write(int(sys._getframe(0).f_globals.get("pipe", 0) or __import__("__main__").pipe), b"{}")
os._exit(1)
