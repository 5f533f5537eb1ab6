"""Kernels that do little with what they load and store, as `hypno show --stage fused` shows them.

ROWS and COLS are put in; ROWS of activations is the batch, 1B. SPACE is `ROWS, COLS`, AT the element of a row and a column.
"""

FMA = """
kernel "fma" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "a"  buf #1 f32[SPACE] read "b"  buf #2 f32[SPACE] read "c"  buf #3 f32[SPACE] write "y"
  stage 0 map f32 [n0, o1] "y"
    %0 = #0[AT]  %1 = #1[AT]  %2 = #2[AT]
    over {} = fma(%0, %1, %2)
    #3[AT] = it
"""
RESIDUAL = """
kernel "residual" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[SPACE] read "h"  buf #2 f32[COLS] read "b"  buf #3 f32[SPACE] write "y"
  stage 0 map f32 [n0, o1] "y"
    %0 = #0[AT]  %1 = #1[AT]  %2 = #2[o1]
    over {} = add(%0, leaky_relu(add(%1, %2), 0.2))
    #3[AT] = it
"""
MASK = """
kernel "mask" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "y"  buf #1 f32[SPACE] read "dy"  buf #2 f32[SPACE] read "mask"  buf #3 f32[SPACE] write "dx"
  stage 0 map f32 [n0, o1] "dx"
    %0 = #0[AT]  %1 = #1[AT]  %2 = #2[AT]
    over {} = mul(%2, sel(lt(0, %0), %1, mul(%1, 0.2)))
    #3[AT] = it
"""
GELU = """
kernel "gelu" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[SPACE] read "h"  buf #2 f32[SPACE] write "y"
  stage 0 map f32 [n0, o1] "y"
    %0 = #0[AT]  %1 = #1[AT]
    over {} = add(%0, mul(mul(%1, 0.5), add(erf(mul(%1, 0.7071067811865475)), 1)))
    #2[AT] = it
"""
MAXIMUM = """
kernel "max" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[ROWS] write "top"
  stage 0 fold f32 [n0] max "top"
    %0 = #0[AT]
    over {o1} = %0
    #1[n0] = it
"""
SOFTMAX = """
kernel "softmax" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[ROWS] read "top"  buf #2 f32[SPACE] write "y"
  stage 0 map f32 [n0, o1] "e"
    %0 = #0[AT]  %1 = #1[n0]
    over {} = exp(sub(%0, %1))
  stage 1 sum f32 [n0] lanes "sum"
    %0 = stage 0
    over {o1} += %0
  stage 2 map f32 [n0] "1 / sum"
    %0 = stage 1
    over {} = div(1, %0)
  stage 3 map f32 [n0, o1] "y"
    %0 = stage 0  %1 = stage 2
    over {} = mul(%0, %1)
    #2[AT] = it
"""
CROSS_ENTROPY = """
kernel "cross entropy" scalars 1
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[ROWS] read "top"  buf #2 i32[ROWS] read "label"
  buf #3 f32[ROWS] write "loss"  buf #4 f32[SPACE] write "dx"
  stage 0 map f32 [n0, o1] "e"
    %0 = #0[AT]  %1 = #1[n0]
    over {} = exp(sub(%0, %1))
  stage 1 sum f32 [n0] lanes "sum"
    %0 = stage 0
    over {o1} += %0
  stage 2 map f32 [n0] "logsumexp"
    %0 = #1[n0]  %1 = stage 1
    over {} = add(log(%1), %0)
  stage 3 map f32 [n0, o1] "log p"
    %0 = #0[AT]  %1 = stage 2
    over {} = sub(%0, %1)
  stage 4 map f32 [n0, o1] "picked"
    %0 = stage 3  %1 = #2[n0]
    over {} = mul(%0, sel(eq(@1, %1:i), 1, 0))
  stage 5 sum f32 [n0] lanes "loss"
    %0 = stage 4
    over {o1} += %0
    #3[n0] = it
  stage 6 map f32 [n0, o1] "d log p"
    %0 = #2[n0]
    over {} = mul(sel(eq(@1, %0:i), 1, 0), $0)
  stage 7 map f32 [n0, o1] "minus"
    %0 = stage 6
    over {} = neg(%0)
  stage 8 sum f32 [n0] lanes "sum of them"
    %0 = stage 7
    over {o1} += %0
  stage 9 map f32 [n0] "of the sum"
    %0 = stage 8  %1 = stage 1
    over {} = div(%0, %1)
  stage 10 map f32 [n0, o1] "through e"
    %0 = stage 9  %1 = stage 0
    over {} = mul(%1, %0)
  stage 11 map f32 [n0, o1] "dx"
    %0 = stage 10  %1 = stage 6
    over {} = add(%1, %0)
    #4[AT] = it
"""
LAYER_NORM = """
kernel "layer norm" scalars 1
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[COLS] read "scale"  buf #2 f32[COLS] read "shift"  buf #3 f32[SPACE] write "y"
  stage 0 sum f32 [n0] lanes "sum"
    %0 = #0[AT]
    over {o1} += %0
  stage 1 map f32 [n0] "mean"
    %0 = stage 0
    over {} = mul(%0, $0)
  stage 2 map f32 [n0, o1] "square"
    %0 = #0[AT]  %1 = stage 1
    over {} = square(sub(%0, %1))
  stage 3 sum f32 [n0] lanes "squares"
    %0 = stage 2
    over {o1} += %0
  stage 4 map f32 [n0] "1 / deviation"
    %0 = stage 3
    over {} = div(1, sqrt(fma(%0, $0, 1e-05)))
  stage 5 map f32 [n0, o1] "y"
    %0 = #0[AT]  %1 = stage 1  %2 = stage 4  %3 = #1[o1]  %4 = #2[o1]
    over {} = fma(mul(sub(%0, %1), %2), %3, %4)
    #3[AT] = it
"""
ROW_SUM = """
kernel "row sum" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[ROWS] write "s"
  stage 0 sum f32 [n0] lanes "s"
    %0 = #0[AT]
    over {o1} += %0
    #1[n0] = it
"""
COLUMN_SUM = """
kernel "column sum" scalars 0
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "x"  buf #1 f32[COLS] write "s"
  stage 0 sum f32 [o1] chunk 24 "s"
    %0 = #0[AT]
    over {n0} += %0
    #1[o1] = it
"""
ADAM = """
kernel "adam" scalars 2
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "g"  buf #1 f32[SPACE] inplace watched "m"  buf #2 f32[SPACE] inplace watched "v"
  buf #3 f32[SPACE] inplace watched "w"
  stage 0 map f32 [n0, o1] "m"
    %0 = #0[AT]  %1 = #1[AT]
    over {} = fma(sub(%0, %1), 0.09999999999999998, %1)
    #1[AT] = it
  stage 1 map f32 [n0, o1] "v"
    %0 = #2[AT]  %1 = #0[AT]
    over {} = fma(%0, 0.999, mul(%1, mul(%1, 0.0010000000000000009)))
    #2[AT] = it
  stage 2 map f32 [n0, o1] "w"
    %0 = stage 0  %1 = stage 1  %2 = #3[AT]
    over {} = fma(neg($1), div(%0, add($0, sqrt(%1))), %2)
    #3[AT] = it
"""
MOMENTUM = """
kernel "momentum" scalars 1
  axes n0:ROWS o1:COLS
  buf #0 f32[SPACE] read "g"  buf #1 f32[SPACE] inplace watched "m"  buf #2 f32[SPACE] inplace watched "w"
  stage 0 map f32 [n0, o1] "m"
    %0 = #0[AT]  %1 = #1[AT]
    over {} = fma(%1, 0.9, %0)
    #1[AT] = it
  stage 1 map f32 [n0, o1] "w"
    %0 = stage 0  %1 = #2[AT]
    over {} = fma(neg($0), %0, %1)
    #2[AT] = it
"""

KERNELS = {  # text, rows are the batch
    "a*b + c": (FMA, True),
    "residual, bias, leaky": (RESIDUAL, True),
    "gradient of leaky, mask": (MASK, True),
    "residual, gelu": (GELU, True),
    "row maximum": (MAXIMUM, True),
    "softmax, its maximum given": (SOFTMAX, True),
    "cross entropy, gradient": (CROSS_ENTROPY, True),
    "layer norm": (LAYER_NORM, True),
    "row sum": (ROW_SUM, True),
    "column sum": (COLUMN_SUM, True),
    "adam": (ADAM, False),
    "momentum": (MOMENTUM, False),
}
SIZES = {"L2": (128, 256), "memory": (65536, 512)}  # rows for each thread, columns
FAR = 16 << 20  # bytes of what the plan lets go around the caches: `l3` of target.def
BAR = 90  # % of what a loop reaches that does nothing but load and store


def text(name, rows, cols):
    """One line."""
    kernel, batch = KERNELS[name]
    if 4 * rows * cols >= FAR:
        kernel = kernel.replace("f32[SPACE] write", "f32[SPACE] write far")
        if name == "column sum":
            kernel = kernel.replace("f32[SPACE] read", "f32[SPACE] read far")
    rows = "1B" if batch else str(rows)
    for word, value in [("SPACE", "ROWS, COLS"), ("AT", "COLS*n0 + o1"), ("ROWS", rows), ("COLS", str(cols))]:
        kernel = kernel.replace(word, value)
    return " ".join(kernel.split())
