/* Known answers: Philox4x32-10 (Random123's kat_vectors), SHA-256 (FIPS 180-4 examples). */
#include <string.h>

#include "runtime/base/philox.h"
#include "runtime/base/sha256.h"
#include "tests/unit/cmocka_all.h"

static void philox_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } row[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        const struct philox p = philox4x32(row[i].counter, row[i].key);
        assert_memory_equal(p.w, row[i].out, sizeof p.w);
    }
}

/* counter {element / 4, sample, low step, low site}, key seed xor {high site, high step} */
static void random_words_follow_the_layout(void **state)
{
    (void)state;
    const uint64_t site = 0xa409382203707344, step = 0x299f31d013198a2e;
    const uint32_t want[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    /* element / 4 has 30 bits, so take the vector's counter word 0 below 2^30: 0x243f6a88
     */
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t element = (0x243f6a88U << 2) | i; /* wraps: the low 30 bits count */
        const uint32_t c[4] = {element / 4, 0x85a308d3, 0x13198a2e, 0x03707344};
        const uint32_t key[2] = {0xa4093822, 0x299f31d0};
        assert_int_equal(hyp_random_word(0, site, step, 0x85a308d3, element),
                         philox4x32(c, key).w[i]);
        assert_int_equal(element / 4, 0x243f6a88);
        assert_int_equal(philox4x32(c, key).w[i], want[i]);
    }
    const uint64_t seed = 0x1122334455667788; /* low word into the first word of the key */
    const uint32_t zero[4] = {0}, key[2] = {0x55667788, 0x11223344};
    assert_int_equal(hyp_random_word(seed, 0, 0, 0, 2), philox4x32(zero, key).w[2]);
}

static void laws_of_a_word(void **state)
{
    (void)state;
    assert_true(hyp_uniform(0) == 0);
    assert_true(hyp_uniform(0xFFFFFFFF) == 1 - 0x1p-24F);
    assert_int_equal(hyp_mulhi(0xFFFFFFFF, 10), 9);
    assert_int_equal(hyp_mulhi(0x80000000, 7), 3);
}

static void digest_is(const char *text, size_t repeat, const char *want)
{
    struct sha256 s;
    uint8_t digest[32];
    char hex[65];
    sha256_init(&s);
    for (size_t i = 0; i < repeat; i++)
        sha256_add(&s, text, strlen(text));
    sha256_end(&s, digest);
    sha256_hex(digest, hex);
    assert_string_equal(hex, want);
}

static void sha256_known_answers(void **state)
{
    (void)state;
    digest_is("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_is("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    digest_is(
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
        "klmnopqrlmnopqrsmnopqrstnopqrstu",
        1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    digest_is("aaaaaaaaaa", 100000,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* SHA-256("abc") begins ba 78 16 bf 8f 01 cf ea; little-endian. */
static void site_is_the_first_eight_bytes(void **state)
{
    (void)state;
    assert_true(hyp_site("abc") == 0xeacf018fbf1678ba);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(random_words_follow_the_layout),
        cmocka_unit_test(laws_of_a_word),
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(site_is_the_first_eight_bytes),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
