"""oneDNN's convolutions through PyTorch, for bench/kernels.py: the same commands as kernel_bench, one answer in JSON a line.

Both memory formats are timed, the faster one counts; PyTorch's own overhead, some 10 us a call, is in it.
"""

import json
import statistics
import sys
import time

import torch

SAMPLES, SAMPLE = 7, 2e-3


def seconds(call, alone):
    clock = time.thread_time if alone else time.perf_counter

    def sample(times):
        start = clock()
        for _ in range(times):
            call()
        return clock() - start

    sample(2)
    times = max(1, round(SAMPLE / max(sample(1), 1e-7)))
    return statistics.median(sample(times) for _ in range(SAMPLES)) / times


def convolution(cin, cout, size, kernel, stride, pad, images, role, layout):
    x = torch.randn(images, cin, size, size).to(memory_format=layout)
    w = torch.randn(cout, cin, kernel, kernel).to(memory_format=layout)
    y = torch.nn.functional.conv2d(x, w, None, stride, pad)
    if role == "forward":
        return lambda: torch.nn.functional.conv2d(x, w, None, stride, pad)
    g = torch.randn_like(y)
    mask = [role == "dX", role == "dW", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(g, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)


def answer(line):
    kind, *numbers, role, threads = line.split()
    if kind != "convolution":
        return {"error": "no such command"}
    torch.set_num_threads(int(threads))
    best = min(
        seconds(convolution(*map(int, numbers), role, layout), threads == "1")
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    return {"seconds": best}


def version():
    found = [word for word in torch.__config__.show().split("\n") if "MKL-DNN" in word]
    return (found[0].split("MKL-DNN")[1].split("(")[0].strip() if found else "?").lstrip("v")


with torch.no_grad():
    print(json.dumps({"torch": torch.__version__, "oneDNN": version(), "isa": torch.backends.cpu.get_cpu_capability()}), flush=True)
    for command in sys.stdin:
        print(json.dumps(answer(command)), flush=True)
