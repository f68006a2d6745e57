/*
 * The origin and the load generator of the benchmark, in one process and one thread.
 *
 * Both ends are here so that a frame's way through a proxy is timed by one clock, and so that the
 * next frame is written by whoever read the last one: no message between two programs is needed.
 * Everything that is sent was prepared before; per frame there is one read and one write, so that
 * this side costs less than the cheapest proxy.
 *
 *   load PORT FRAMES JSON   the origin listens on 127.0.0.1:PORT; FRAMES holds server frames (count,
 *                             then size and bytes of each, as native 32-bit numbers), JSON the
 *                             body of the small response
 *
 * Commands come as lines on standard input, each is answered by one line of JSON:
 *
 *   frames PORT CONNECTIONS BURST WARM RUN QUERY PID,PID
 *   handshakes PORT CONNECTIONS WARM RUN QUERY PID,PID
 *   open PORT CONNECTIONS QUERY      until so many are open, and leave them open
 *   close
 *
 * QUERY becomes part of the request target; PIDs are those of the proxy, whose CPU time is read.
 * Nothing counts before the proxy has used WARM milliseconds of CPU time (or four times as long has
 * passed); then RUN milliseconds do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

char *ring;
size_t *offsets;
unsigned frame_count;
char *small, *big;
size_t small_size, big_size;
int epoll, listener, proxy_port, burst;
char query[512];
struct connection *clients[MAX_CONNECTIONS], *origins[MAX_CONNECTIONS];
int opening, established;
int running, measuring, churning;
int64_t units;
uint32_t histogram[MAX_LATENCY_US + 1];
char failure[256];

int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void die(const char *what)
{
    perror(what);
    exit(1);
}

void fail(const char *format, ...)
{
    va_list arguments;
    if (failure[0])
        return;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
}

static double own_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* User and system time of processes, in seconds (fields 14 and 15 of their `stat`). */
static double cpu_of(const char *pids)
{
    unsigned long long ticks = 0, user, system;
    for (const char *pid = pids; pid && *pid; pid = strchr(pid, ',') ? strchr(pid, ',') + 1 : NULL) {
        char name[64], text[1024];
        snprintf(name, sizeof name, "/proc/%d/stat", atoi(pid));
        FILE *file = fopen(name, "r");
        if (!file)
            continue;
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[size] = 0;
        char *behind = strrchr(text, ')');
        if (behind && sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                             &user, &system) == 2)
            ticks += user + system;
    }
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static int percentile(double share)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i <= MAX_LATENCY_US; i++)
        total += histogram[i];
    for (int i = 0; i <= MAX_LATENCY_US; i++) {
        seen += histogram[i];
        if (seen && (double)seen >= share * (double)total)
            return i;
    }
    return 0;
}

static void close_all(void)
{
    int64_t until = now_us() + CLOSING_LIMIT_MS * 1000;
    int open = 1;
    running = churning = 0;
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (clients[i])
            drop(clients[i]);
    while (open && now_us() < until) {
        turn(10);
        open = 0;
        for (int i = 0; i < MAX_CONNECTIONS; i++)
            open |= origins[i] != NULL;
    }
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (origins[i])
            drop(origins[i]);
    opening = established = 0;
}

static void open_all(int connections)
{
    int64_t until = now_us() + (int64_t)OPENING_LIMIT_MS * 1000;
    int next = established; /* what is open counts */
    while (established < connections && !failure[0]) {
        while (next < connections && opening < OPENING_AT_ONCE && !failure[0])
            open_client(next++);
        turn(10);
        if (now_us() > until)
            fail("%d of %d connections were open after %d s", established, connections,
                 OPENING_LIMIT_MS / 1000);
    }
}

static void run(int warm_ms, int run_ms, const char *pids)
{
    int64_t start = now_us(), begin = 0, look = start;
    double cpu = cpu_of(pids), own = 0;
    memset(histogram, 0, sizeof histogram);
    units = 0;
    measuring = 0;
    running = 1;
    while (!failure[0]) {
        int64_t now = now_us();
        if (!measuring && now >= look) {
            double used = cpu_of(pids);
            look = now + 20000;
            if ((used - cpu) * 1000 >= warm_ms || now >= start + warm_ms * (int64_t)4000) {
                cpu = used;
                own = own_cpu();
                begin = now;
                measuring = 1;
            }
        }
        if (measuring && now >= begin + run_ms * (int64_t)1000)
            break;
        turn(10);
    }
    double seconds = (double)(now_us() - begin) / 1e6;
    cpu = cpu_of(pids) - cpu;
    own = own_cpu() - own;
    measuring = running = 0;
    if (!failure[0] && !units)
        fail("nothing arrived");
    if (!failure[0])
        printf("{\"units\": %lld, \"seconds\": %.6f, \"cpu\": %.6f, \"load_cpu\": %.6f, "
               "\"p50\": %d, \"p99\": %d}\n",
               (long long)units, seconds, cpu, own, percentile(0.5), percentile(0.99));
}

static void obey(char *line)
{
    char pids[512] = "";
    int connections = 0, warm = 0, run_ms = 0;
    failure[0] = 0;
    if (sscanf(line, "frames %d %d %d %d %d %511s %511s", &proxy_port, &connections, &burst, &warm,
               &run_ms, query, pids) >= 6 &&
        connections <= MAX_CONNECTIONS && burst <= (int)frame_count) {
        open_all(connections);
        if (!failure[0]) {
            running = 1;
            for (int i = 0; i < connections; i++)
                send_frames(i);
            run(warm, run_ms, pids);
        }
        close_all();
    } else if (sscanf(line, "handshakes %d %d %d %d %511s %511s", &proxy_port, &connections, &warm,
                      &run_ms, query, pids) >= 5 &&
               connections <= MAX_CONNECTIONS) {
        churning = running = 1;
        for (int i = 0; i < connections; i++)
            open_client(i);
        run(warm, run_ms, pids);
        close_all();
    } else if (sscanf(line, "open %d %d %511s", &proxy_port, &connections, query) == 3 &&
               connections <= MAX_CONNECTIONS) {
        open_all(connections);
        if (failure[0])
            close_all();
        else
            printf("{\"open\": %d}\n", established);
    } else if (!strncmp(line, "close", 5)) {
        close_all();
        printf("{\"open\": 0}\n");
    } else
        fail("not understood");
    if (failure[0])
        printf("{\"error\": \"%s\"}\n", failure);
    fflush(stdout);
}

static char *read_file(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    if (!file)
        die(name);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    if (!text || fread(text, 1, *size, file) != *size)
        die(name);
    fclose(file);
    return text;
}

static void prepare(const char *frames_file, const char *json_file)
{
    size_t size, body_size;
    char *text = read_file(frames_file, &size), *at = text + 4;
    memcpy(&frame_count, text, 4);
    offsets = calloc(2 * frame_count + 1, sizeof *offsets);
    ring = malloc(2 * size);
    if (!offsets || !ring)
        die("malloc");
    for (unsigned i = 0; i < 2 * frame_count; i++) {
        uint32_t length;
        if (i == frame_count)
            at = text + 4;
        memcpy(&length, at, 4);
        memcpy(ring + offsets[i], at + 4, length);
        offsets[i + 1] = offsets[i] + length;
        at += 4 + length;
    }
    free(text);

    char *body = read_file(json_file, &body_size);
    small = malloc(body_size + 1024);
    big = malloc(BIG_BODY + 1024);
    if (!small || !big)
        die("malloc");
    small_size = (size_t)sprintf(
        small,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept, origin\r\n"
        "Allow: GET, PATCH, DELETE, HEAD, OPTIONS\r\nX-Frame-Options: DENY\r\n"
        "Content-Length: %zu\r\nX-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n"
        "Server: daphne\r\n\r\n",
        body_size);
    memcpy(small + small_size, body, body_size);
    small_size += body_size;
    free(body);
    big_size = (size_t)sprintf(big, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                    "Content-Length: %d\r\nServer: daphne\r\n\r\n", BIG_BODY);
    for (int i = 0; i < BIG_BODY; i++)
        big[big_size++] = (char)('a' + i % 26);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN};
    int one = 1;
    static char line[2048];
    size_t length = 0;
    if (argc != 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    prepare(argv[2], argv[3]);
    epoll = epoll_create1(0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        die("listen");
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    fcntl(0, F_SETFL, O_NONBLOCK);
    printf("{\"open\": 0}\n");
    fflush(stdout);
    /* Commands are looked for between turns: the origin goes on while there is none. */
    for (;;) {
        ssize_t got = read(0, line + length, sizeof line - 1 - length);
        if (got == 0)
            return 0;
        if (got > 0) {
            length += (size_t)got;
            line[length] = 0;
            char *newline = strchr(line, '\n');
            if (newline) {
                *newline = 0;
                obey(line);
                length = 0;
            }
        }
        turn(20);
    }
}
