/* What the parts of the load generator share. */
#ifndef SEGUE_LOAD_H
#define SEGUE_LOAD_H

#include <stddef.h>
#include <stdint.h>

#define HEAD_LIMIT 8192
#define MAX_CONNECTIONS 8192
#define BIG_BODY (1 << 20)
#define MAX_LATENCY_US 4000000
#define OPENING_AT_ONCE 32
#define OPENING_LIMIT_MS 30000
#define CLOSING_LIMIT_MS 1000

enum state { CONNECTING, HEAD, BODY, CHUNKED, SOCKET, CLOSING };

struct connection {
    int fd;
    int id; /* pairs a client's connection with the origin's; -1: of no load */
    char is_client;
    char is_writing; /* whether EPOLLOUT is asked for */
    char close_seen;
    enum state state;
    char *head; /* HEAD_LIMIT bytes while a head is read */
    size_t head_size;
    size_t body_left;
    char tail[5]; /* the last bytes of a chunked body */
    char big;
    const char *out; /* prepared bytes still to be written */
    size_t out_size;
    unsigned char frame[14]; /* the frame header in progress */
    int frame_size;
    uint64_t payload_left;
    int waiting; /* frames of the burst that have not arrived */
    unsigned next;
    int64_t since; /* when the burst was sent, or the connection opened; microseconds */
};

/* What is sent, prepared. */
extern char *ring; /* all frames twice, so that a burst is contiguous wherever it starts */
extern size_t *offsets;
extern unsigned frame_count;
extern char *small, *big;
extern size_t small_size, big_size;

/* The load in progress. */
extern int epoll, listener, proxy_port, burst;
extern char query[512];
extern struct connection *clients[MAX_CONNECTIONS], *origins[MAX_CONNECTIONS];
extern int opening, established;
extern int running;   /* whether new work is begun */
extern int measuring; /* whether finished work is recorded */
extern int churning;  /* whether the work is handshakes, not frames */
extern int64_t units;
extern uint32_t histogram[MAX_LATENCY_US + 1];
extern char failure[256];

int64_t now_us(void);
_Noreturn void die(const char *what);
__attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

/* accept.c */
void accept_key(const char *key, size_t size, char result[29]);

/* connections.c */
void open_client(int id);
void send_frames(int id);
void drop(struct connection *c);
void turn(int wait_ms); /* handle what has happened, waiting at most that long for it */

#endif
