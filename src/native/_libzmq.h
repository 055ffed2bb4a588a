/* The part of libzmq's public interface that the compiled modules use.
 *
 * pyzmq's wheels hold the library but not its header. With these prototypes a
 * machine needs nothing but a C compiler; the functions themselves are those
 * of pyzmq's own library (see libzmq_symbols.py). Names and values are libzmq's
 * (stable since version 4.0).
 */
#ifndef CTAPIPE_PIPELINE_LIBZMQ_H
#define CTAPIPE_PIPELINE_LIBZMQ_H

#include <stddef.h>

typedef union {
    unsigned char bytes[64];
    void *alignment;
} zmq_msg_t;

#define ZMQ_PAIR 0

#define ZMQ_FD 14
#define ZMQ_EVENTS 15
#define ZMQ_LINGER 17
#define ZMQ_SNDHWM 23
#define ZMQ_RCVHWM 24

#define ZMQ_DONTWAIT 1
#define ZMQ_SNDMORE 2

#define ETERM (156384712 + 53)

#define ZMQ_IO_THREADS 1
#define ZMQ_MAX_SOCKETS 2

int zmq_errno(void);
const char *zmq_strerror(int errnum);

void *zmq_ctx_new(void);
int zmq_ctx_set(void *context, int option, int value);
int zmq_ctx_shutdown(void *context);
int zmq_ctx_term(void *context);

void *zmq_socket(void *context, int type);
int zmq_close(void *socket);
int zmq_setsockopt(void *socket, int option, const void *value, size_t length);
int zmq_getsockopt(void *socket, int option, void *value, size_t *length);
int zmq_bind(void *socket, const char *address);
int zmq_connect(void *socket, const char *address);

int zmq_msg_init(zmq_msg_t *message);
int zmq_msg_init_size(zmq_msg_t *message, size_t size);
int zmq_msg_send(zmq_msg_t *message, void *socket, int flags);
int zmq_msg_recv(zmq_msg_t *message, void *socket, int flags);
int zmq_msg_close(zmq_msg_t *message);
int zmq_msg_copy(zmq_msg_t *destination, zmq_msg_t *source);
int zmq_msg_move(zmq_msg_t *destination, zmq_msg_t *source);
void *zmq_msg_data(zmq_msg_t *message);
size_t zmq_msg_size(const zmq_msg_t *message);
int zmq_msg_more(const zmq_msg_t *message);

#endif
