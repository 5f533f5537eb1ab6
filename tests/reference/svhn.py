"""The small SVHN files of svhn/, written by SciPy: what a reader of MATLAB files is held against."""
import pathlib

import numpy as np
import scipy.io

HERE = pathlib.Path(__file__).parent / "svhn"
SAMPLES = 4


def pixels():
    """[row, column, channel, sample]; no two places of a plane that a transposition swaps are equal."""
    row, column, channel, sample = np.ogrid[:32, :32, :3, :SAMPLES]
    return ((7 * row + 3 * column + 50 * channel + 11 * sample) % 256).astype(np.uint8)


def main():
    HERE.mkdir(exist_ok=True)
    arrays = {"X": pixels(), "y": np.array([[1], [9], [10], [5]], np.uint8)}
    scipy.io.savemat(HERE / "train_32x32.mat", arrays, do_compression=True)
    # as `test`: not packed, the labels first and of class double
    arrays = {"y": arrays["y"].astype(np.float64), "X": arrays["X"]}
    scipy.io.savemat(HERE / "test_32x32.mat", arrays, do_compression=False)


if __name__ == "__main__":
    main()
