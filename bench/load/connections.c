/* The connections of origin and clients: what happens on them, and what follows from it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

static const char close_frame[] = "\x88\x02\x03\xe8";
static const char masked_close_frame[] = "\x88\x82\x11\x22\x33\x44\x12\xca"; /* 1000 */

static void watch(struct connection *c, int writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    if (c->is_writing == writing)
        return;
    c->is_writing = (char)writing;
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static struct connection *add(int fd, int is_client, int id)
{
    struct connection *c = calloc(1, sizeof *c);
    int one = 1;
    if (!c)
        die("calloc");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->fd = fd;
    c->is_client = (char)is_client;
    c->id = id;
    c->state = is_client ? CONNECTING : HEAD;
    c->is_writing = (char)is_client; /* a connect ends with EPOLLOUT */
    struct epoll_event event = {.events = EPOLLIN | (is_client ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
    return c;
}

/* Freed after the events of the current turn, which may still point to it. */
static struct connection *graveyard[2 * MAX_CONNECTIONS + 64];
static int buried;

void drop(struct connection *c)
{
    if (c->fd < 0)
        return;
    close(c->fd);
    c->fd = -1;
    free(c->head);
    c->head = NULL;
    if (c->id >= 0) {
        struct connection **slot = c->is_client ? &clients[c->id] : &origins[c->id];
        if (*slot == c)
            *slot = NULL;
    }
    if (buried == (int)(sizeof graveyard / sizeof *graveyard))
        die("graveyard");
    graveyard[buried++] = c;
}

static void flush(struct connection *c)
{
    while (c->out_size) {
        ssize_t sent = send(c->fd, c->out, c->out_size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN)
                c->out_size = 0; /* the end of the connection is seen by its reader */
            break;
        }
        c->out += sent;
        c->out_size -= (size_t)sent;
    }
    watch(c, c->out_size > 0);
}

static void put(struct connection *c, const char *data, size_t size)
{
    if (c->out_size) {
        fail("a second response before the first was written");
        return;
    }
    c->out = data;
    c->out_size = size;
    flush(c);
}

void send_frames(int id)
{
    struct connection *origin = origins[id], *client = clients[id];
    if (!origin || !client)
        return;
    unsigned first = origin->next;
    origin->next = (first + (unsigned)burst) % frame_count;
    client->waiting = burst;
    client->since = now_us();
    put(origin, ring + offsets[first], offsets[first + (unsigned)burst] - offsets[first]);
}

static void record(struct connection *client)
{
    if (!measuring)
        return;
    int64_t took = now_us() - client->since;
    histogram[took > MAX_LATENCY_US ? MAX_LATENCY_US : took]++;
    units += churning ? 1 : burst;
}

void open_client(int id)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)proxy_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int64_t since = now_us();
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        fail("connect: %s", strerror(errno));
        close(fd);
        return;
    }
    clients[id] = add(fd, 1, id);
    clients[id]->since = since;
    opening++;
}

static void ask_for_upgrade(struct connection *c)
{
    char request[2048];
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        fail("connect: %s", strerror(error));
        opening--;
        drop(c);
        return;
    }
    int length = snprintf(
        request, sizeof request,
        "GET /ws/jobs/0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10/?%s&conn=%d HTTP/1.1\r\n"
        "Host: app.example.test\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
        "Cache-Control: no-cache\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
        "Upgrade: websocket\r\nOrigin: https://app.example.test\r\nSec-WebSocket-Version: 13\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        query, c->id);
    c->state = HEAD;
    watch(c, 0);
    if (send(c->fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        fail("the handshake could not be sent");
}

static void on_upgraded(struct connection *c)
{
    c->state = SOCKET;
    opening--;
    established++;
    if (churning && send(c->fd, masked_close_frame, 8, MSG_NOSIGNAL) != 8)
        fail("the close frame could not be sent");
}

/* Frames: `data` is walked for their ends; returns how many ended here. */
static int walk(struct connection *c, const unsigned char *data, size_t size)
{
    int frames = 0;
    while (size) {
        if (!c->payload_left) {
            int need = 2;
            if (c->frame_size >= 2) {
                int length = c->frame[1] & 127;
                need += (length == 126 ? 2 : length == 127 ? 8 : 0) + (c->frame[1] & 128 ? 4 : 0);
            }
            if (c->frame_size < need) {
                c->frame[c->frame_size++] = *data++;
                size--;
                if (c->frame_size < 2)
                    continue;
                int length = c->frame[1] & 127;
                need = 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) +
                       (c->frame[1] & 128 ? 4 : 0);
                if (c->frame_size < need)
                    continue;
            }
            uint64_t length = c->frame[1] & 127;
            if (length >= 126) {
                int bytes = length == 126 ? 2 : 8;
                length = 0;
                for (int i = 0; i < bytes; i++)
                    length = length << 8 | c->frame[2 + i];
            }
            c->payload_left = length;
        }
        uint64_t part = c->payload_left < size ? c->payload_left : size;
        data += part;
        size -= part;
        c->payload_left -= part;
        if (!c->payload_left) {
            if ((c->frame[0] & 15) == 8)
                c->close_seen = 1;
            else if ((c->frame[0] & 15) < 8)
                frames++;
            c->frame_size = 0;
        }
    }
    return frames;
}

/* HTTP. */

static const char *field(const char *head, const char *name, size_t *size)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, length) && line[length] == ':') {
            const char *value = line + length + 1;
            while (*value == ' ')
                value++;
            *size = strcspn(value, "\r\n");
            return value;
        }
    }
    return NULL;
}

static void answer(struct connection *c)
{
    c->state = HEAD;
    c->head_size = 0;
    put(c, c->big ? big : small, c->big ? big_size : small_size);
}

static void answer_upgrade(struct connection *c)
{
    char response[256], key[29];
    size_t size = 0;
    const char *value = field(c->head, "sec-websocket-key", &size);
    const char *id = strstr(c->head, "conn=");
    accept_key(value ? value : "", size, key);
    int length = snprintf(response, sizeof response,
                          "HTTP/1.1 101 Switching Protocols\r\nServer: daphne\r\n"
                          "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          key);
    if (send(c->fd, response, (size_t)length, MSG_NOSIGNAL) != length)
        fail("the handshake could not be answered");
    c->state = SOCKET;
    free(c->head);
    if (id && id[5] >= '0' && id[5] <= '9') {
        c->id = atoi(id + 5);
        if (c->id < MAX_CONNECTIONS) {
            origins[c->id] = c;
            c->next = (unsigned)c->id * 7 % frame_count;
        } else
            c->id = -1;
    } else
        put(c, ring, offsets[frame_count]); /* of no load: the check, which gets every frame once */
    c->head = NULL;
}

/* Returns how many bytes of `data` belong to what is read. */
static size_t read_http(struct connection *c, char *data, size_t size)
{
    size_t value_size = 0, before = c->head_size, room = HEAD_LIMIT - 1 - before;
    if (c->state == BODY) {
        size_t part = size < c->body_left ? size : c->body_left;
        c->body_left -= part;
        if (!c->body_left)
            answer(c);
        return part;
    }
    if (c->state == CHUNKED) { /* one request at a time, and no body holds these five bytes */
        size_t part = size < 5 ? size : 5;
        memmove(c->tail, c->tail + part, 5 - part);
        memcpy(c->tail + 5 - part, data + size - part, part);
        if (!memcmp(c->tail, "0\r\n\r\n", 5))
            answer(c);
        return size;
    }
    if (!c->head && !(c->head = malloc(HEAD_LIMIT)))
        die("malloc");
    if (size < room)
        room = size;
    memcpy(c->head + before, data, room);
    c->head[before + room] = 0;
    c->head_size += room;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        if (c->head_size >= HEAD_LIMIT - 1)
            fail("a head is longer than %d bytes", HEAD_LIMIT);
        return room;
    }
    end[2] = 0;
    size_t used = (size_t)(end + 4 - c->head) - before;
    if (c->is_client) {
        if (strncmp(c->head, "HTTP/1.1 101", 12))
            fail("the handshake was answered by %.40s", c->head);
        free(c->head);
        c->head = NULL;
        on_upgraded(c);
        return used;
    }
    if (field(c->head, "upgrade", &value_size)) {
        answer_upgrade(c);
        return used;
    }
    c->big = strstr(c->head, "/big") && strstr(c->head, "/big") < strchr(c->head, '\r');
    const char *length = field(c->head, "content-length", &value_size);
    if (length && atol(length) > 0) {
        c->body_left = (size_t)atol(length);
        c->state = BODY;
        c->head_size = 0;
    } else if (field(c->head, "transfer-encoding", &value_size)) {
        c->state = CHUNKED;
        c->head_size = 0;
        memset(c->tail, 0, 5);
    } else
        answer(c);
    return used;
}

static void finish(struct connection *c)
{
    int id = c->id;
    record(c);
    drop(c);
    if (churning && running)
        open_client(id);
}

static void on_end(struct connection *c)
{
    if (c->is_client && running)
        fail("the proxy closed a connection");
    drop(c);
}

static void on_readable(struct connection *c)
{
    static char buffer[1 << 18];
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        on_end(c);
        return;
    }
    size_t at = 0, size = (size_t)got;
    while (at < size && c->state < SOCKET && c->fd >= 0 && !failure[0])
        at += read_http(c, buffer + at, size - at);
    if (at == size || c->fd < 0 || c->state != SOCKET)
        return;
    int frames = walk(c, (unsigned char *)buffer + at, size - at);
    if (c->is_client && c->close_seen && churning) {
        finish(c);
    } else if (c->is_client) {
        if (!frames || !c->waiting)
            return;
        c->waiting -= frames;
        if (c->waiting > 0)
            return;
        record(c);
        if (running)
            send_frames(c->id);
    } else if (c->close_seen) {
        send(c->fd, close_frame, 4, MSG_NOSIGNAL); /* the server closes first: RFC 6455 7.1.1 */
        drop(c);
    }
}

void turn(int wait_ms)
{
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, wait_ms);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (!c) {
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                add(fd, 0, -1);
            continue;
        }
        if (c->fd < 0)
            continue;
        if (c->state == CONNECTING) {
            ask_for_upgrade(c);
            continue;
        }
        if (events[i].events & EPOLLOUT)
            flush(c);
        if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(c);
    }
    while (buried)
        free(graveyard[--buried]);
}
