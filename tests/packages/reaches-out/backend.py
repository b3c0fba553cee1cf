"""Tries whatever reaches out of a build, and puts what came of each attempt into the wheel."""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

from wheelwright import write_wheel

with open("told.json") as _file:
    TOLD = json.load(_file)
_libc = ctypes.CDLL(None, use_errno=True)


def attempt(action):
    """What came of it: "done", or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, "%s %s" % (type(error).__name__, error.errno))
    except ValueError as error:
        return "ValueError"
    return "done"


def call(number, *arguments):
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    return errno.errorcode.get(ctypes.get_errno(), "?") if result == -1 else "done"


def code_of(action):
    """How a child ended that does it."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def unix(address):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(address)


def see_files():
    return {path: os.path.exists(path) for path in TOLD["paths"]}


def see_processes():
    pid = TOLD["pid"]
    return {
        "environ of pid 1": attempt(lambda: open("/proc/1/environ", "rb").read()),
        "descriptors of pid 1": attempt(lambda: os.listdir("/proc/1/fd")),
        "memory of pid 1": attempt(lambda: open("/proc/1/mem", "rb")),
        "environ of a process outside": attempt(lambda: open("/proc/%d/environ" % pid, "rb")),
        "a signal to a process outside": attempt(lambda: os.kill(pid, signal.SIGKILL)),
        "others": sorted(
            name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid(), os.getppid())
        ),
    }


def see_environment():
    return dict(os.environ)


def connect():
    port = TOLD["tcp"]
    begun = time.monotonic()
    said = {
        "tcp": attempt(lambda: socket.create_connection(("127.0.0.1", port), 2)),
        "tcp, version 6": attempt(lambda: socket.create_connection(("::1", port), 2)),
        "mptcp": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)),
        "udp": attempt(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", TOLD["udp"]))
        ),
        "raw": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
        "metadata service": attempt(lambda: socket.create_connection(("169.254.169.254", 80), 2)),
        "name": attempt(lambda: socket.getaddrinfo("example.org", 80)),
        "abstract socket": attempt(lambda: unix("\0" + TOLD["abstract"])),
        "socket with a path": attempt(lambda: unix(TOLD["socket"])),
        "docker": attempt(lambda: unix("/var/run/docker.sock")),
    }
    said["quick"] = time.monotonic() - begun < 5
    return said


def open_sockets():
    families = {"NETLINK": 16, "PACKET": 17, "CAN": 29, "TIPC": 30, "BLUETOOTH": 31, "ALG": 38, "VSOCK": 40, "XDP": 44}
    return {name: attempt(lambda: socket.socket(number, 3)) for name, number in families.items()}


CALLS = {
    "unshare": (272, 0x10000000), "clone with CLONE_NEWUSER": (56, 0x10000000 | 17, 0, 0, 0, 0), "clone3": (435, 0, 0),
    "setns": (308, 0, 0), "mount": (165, 0, 0, 0, 0, 0), "remount": (165, 0, 0, 0, 32, 0), "umount2": (166, 0, 0),
    "fsopen": (430, 0, 0), "open_tree": (428, -100, 0, 0), "move_mount": (429, -100, 0, -100, 0, 0),
    "mount_setattr": (442, -100, 0, 0, 0, 0), "pivot_root": (155, 0, 0), "chroot": (161, 0),
    "ptrace": (101, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0), "kcmp": (312, 1, 1, 0, 0, 0),
    "keyctl read": (250, 11, TOLD["key"], 0, 0), "keyctl session": (250, 0, -3, 0), "add_key": (248, 0, 0, 0, 0, -3),
    "request_key": (249, 0, 0, 0, 0),
    "io_uring_setup": (425, 8, 0), "bpf": (321, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0), "userfaultfd": (323, 0),
    "fanotify_init": (300, 0, 0), "open_by_handle_at": (304, -100, 0, 0), "name_to_handle_at": (303, -100, 0, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0), "init_module": (175, 0, 0, 0), "finit_module": (313, -1, 0, 0), "syslog": (103, 3, 0, 0),
    "reboot": (169, 0, 0, 0, 0), "swapon": (167, 0, 0), "acct": (163, 0), "sethostname": (170, 0, 0),
    "clock_settime": (227, 0, 0), "settimeofday": (164, 0, 0), "adjtimex": (159, 0), "clock_adjtime": (305, 0, 0),
    "TIOCSTI": (16, 0, 0x5412, 0), "TIOCSTI with high bits": (16, 0, 0x100005412, 0), "TIOCLINUX": (16, 0, 0x541C, 0),
    "x32 getpid": (0x40000000 + 39,), "call 999": (999,),
}  # fmt: skip


def call_the_kernel():
    return {name: call(*numbers) for name, numbers in CALLS.items()}


def find_terminals():
    return {"/dev/tty": attempt(lambda: open("/dev/tty")), "openpty": attempt(os.openpty)}


def rise():
    limits = resource.getrlimit(resource.RLIMIT_NPROC)
    su = subprocess.run(["su", "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return {
        "block device": attempt(lambda: os.mknod("device", 0o60600, os.makedev(8, 0))),
        "setuid": attempt(lambda: os.setuid(0)),
        "su": su.returncode != 0 and su.stdout == "",
        "nice": attempt(lambda: os.nice(-5)),
        "real time": attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        "more processes": attempt(lambda: resource.setrlimit(resource.RLIMIT_NPROC, (limits[0], limits[1] + 1))),
    }


def kill_pid_1():
    said = {number: attempt(lambda: os.kill(1, number)) for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP)}
    time.sleep(0.1)
    return sorted(said.values())


def write():
    """To each place as a new file; to the kernel's as they are."""
    new = ["/", "/usr/bin", "/etc", "/dev", "/proc/sys", "/home", "/wheels", "/sdist", sys.base_prefix, *TOLD["lent"]]
    old = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/passwd", "/usr/bin/env", os.path.realpath(sys.executable)]
    said = {folder: attempt(lambda: open(folder + "/written", "w")) for folder in new}
    said.update((file, attempt(lambda: open(file, "r+b"))) for file in old)
    said["/dev/shm and /tmp"] = attempt(lambda: [open(folder + "/w", "w") for folder in ("/dev/shm", "/tmp")])
    return said


def link():
    sources = ["/usr/bin/env", os.path.realpath(sys.executable)]
    return {source: attempt(lambda: os.link(source, "link")) for source in sources}


def run_32_bits():
    """``getpid`` by the gate of 32-bit programs, whose calls have other numbers."""
    source = "int main(void){int r;__asm__ volatile(\"int $0x80\":\"=a\"(r):\"a\"(20):\"memory\");return r>0?0:1;}"
    with open("gate.c", "w") as file:
        file.write(source)
    subprocess.run(["gcc", "gate.c", "-o", "gate"], check=True)
    built = subprocess.run(["gcc", "-m32", "gate.c", "-o", "gate32"], capture_output=True)
    return {"gate": subprocess.run(["./gate"]).returncode, "gcc -m32": built.returncode != 0}


def flush_the_disks():
    """Who flushes waits for the disks, at least once for each call."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(200):
        os.sync()
        _libc.syncfs(os.open("/usr", os.O_RDONLY))
    waits = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
    return {"waits": waits, "of a disk that there is not": _libc.syncfs(-1)}


ATTEMPTS = (
    see_files, see_processes, see_environment, connect, open_sockets, call_the_kernel, find_terminals, rise, kill_pid_1,
    write, link, run_32_bits, flush_the_disks,
)  # fmt: skip


def build_wheel(folder, config_settings=None, metadata_directory=None):
    report = {}
    for each in ATTEMPTS:
        print(each.__name__, flush=True)
        report[each.__name__] = each()
    for path in ("gate.c", "gate", "gate32", "device", "link"):
        if os.path.exists(path):
            os.unlink(path)
    return write_wheel(folder, files={"sample.py": b"", "sample.json": json.dumps(report).encode()})
