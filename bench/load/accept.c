#include <stdlib.h>
#include <string.h>

#include "load.h"

/* SHA-1 and base64, for Sec-WebSocket-Accept (RFC 6455 section 4.2.2). */

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1(const unsigned char *data, size_t size, unsigned char digest[20])
{
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char text[192] = {0};
    size_t total = (size + 9 + 63) / 64 * 64;
    if (total > sizeof text)
        exit(1);
    memcpy(text, data, size);
    text[size] = 0x80;
    for (int i = 0; i < 8; i++)
        text[total - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
    for (size_t block = 0; block < total; block += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)text[block + 4 * i] << 24 | text[block + 4 * i + 1] << 16 |
                   text[block + 4 * i + 2] << 8 | text[block + 4 * i + 3];
        for (int i = 16; i < 80; i++)
            w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20)
                f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40)
                f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60)
                f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else
                f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t t = rotate(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rotate(b, 30), b = a, a = t;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void accept_key(const char *key, size_t size, char result[29])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char text[100], digest[21] = {0};
    if (size > 60)
        size = 60;
    memcpy(text, key, size);
    memcpy(text + size, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(text, size + 36, digest);
    for (int i = 0; i < 7; i++) {
        uint32_t group = (uint32_t)digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (int j = 0; j < 4; j++)
            result[4 * i + j] = letters[group >> (18 - 6 * j) & 63];
    }
    result[27] = '=';
    result[28] = 0;
}
