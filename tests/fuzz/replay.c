/*
 * Replays a corpus through a fuzz target as an ordinary test: every file of the folders
 * named, every prefix of it, and every byte changed in three ways.  Passing is not
 * crashing.
 *
 * The bytes end where a page without access begins, so that reading past them is caught
 * without a sanitizer too.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/target.h"

enum { MUTATE_MAX = 1 << 11 }; /* larger files are replayed as they are */

struct fence {
    uint8_t *map, *end;
    size_t size;
};

static int fence_init(struct fence *f, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    f->size = (n + page - 1) / page * page + page;
    f->map =
        mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->map == MAP_FAILED)
        return -1;
    f->end = f->map + f->size - page;
    return mprotect(f->end, page, PROT_NONE);
}

static void run(const struct fence *f, const uint8_t *bytes, size_t n)
{
    memcpy(f->end - n, bytes, n);
    LLVMFuzzerTestOneInput(f->end - n, n);
}

static void run_mutations(const struct fence *f, uint8_t *bytes, size_t n)
{
    static const uint8_t change[] = {0xff, 0x01, 0x80};
    for (size_t i = 0; i < n; i++)
        run(f, bytes, i);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < sizeof change; k++) {
            bytes[i] ^= change[k];
            run(f, bytes, n);
            bytes[i] ^= change[k];
        }
}

static int replay_file(const char *path)
{
    struct fence f;
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        return -1;
    const long size = ftell(file);
    rewind(file);
    const size_t n = size < 0 ? 0 : (size_t)size;
    uint8_t *bytes = malloc(n + 1);
    const bool ok = bytes && fread(bytes, 1, n, file) == n && fence_init(&f, n) == 0;
    if (ok) {
        run(&f, bytes, n);
        if (n <= MUTATE_MAX)
            run_mutations(&f, bytes, n);
        munmap(f.map, f.size);
    }
    fclose(file);
    free(bytes);
    return ok ? 0 : -1;
}

static int replay_folder(const char *folder, unsigned *count)
{
    char path[4096];
    DIR *d = opendir(folder);
    if (!d)
        return -1;
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (replay_file(path)) {
            fprintf(stderr, "cannot replay %s\n", path);
            return -1;
        }
        ++*count;
    }
    return closedir(d);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++)
        if (replay_folder(argv[i], &count)) {
            fprintf(stderr, "cannot read the corpus %s\n", argv[i]);
            return 1;
        }
    printf("%u files replayed\n", count);
    return count ? 0 : 1;
}
