/* Floor control on libre, a client or a server, over UDP by libre's own connection and over TCP and
 * TLS, which libre does not do, by its messages. It does what its input says, a letter a line, and
 * tells what it hears, a word a line.
 *
 * floor client|server udp|tcp|tls OWN-PORT PEER-PORT CONFERENCE USER FLOOR [CERTIFICATE FINGERPRINT]
 *
 * For TLS it shows the certificate of that file, with its key, and wants one with that fingerprint.
 * A client: a asks for the floor, r gives it back. A server: s somebody on its side begins to show
 * something, e ends, r takes the floor from the client. */

#include <re.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct bfcp_conn *conn;
static struct tcp_sock *door;
static struct tcp_conn *tcp;
static struct tls *tls;
static struct tls_conn *secured;
static const char *fingerprint;
static struct mbuf *stream;
static struct sa peer;
static bool server;
static uint32_t conference;
static uint16_t user, floor_id, request, transaction;
static const uint16_t request_of_server = 7;
static enum bfcp_reqstat theirs;

static void on_message(const struct bfcp_msg *msg);

static void say(const char *word)
{
	printf("%s\n", word);
	fflush(stdout);
}

static void fail(const char *why)
{
	say(why);
	re_cancel();
}

static void on_answer(int err, const struct bfcp_msg *msg, void *arg)
{
	(void)arg;
	if (err)
		return fail("unanswered");
	on_message(msg);
}

/* Sends what was made for a connection. */
static void flush(struct mbuf *mb)
{
	mb->pos = 0;
	if (!tcp || tcp_send(tcp, mb))
		fail("not sent");
	mem_deref(mb);
}

/* A client's request about the floor, or about its own request. */
static void ask(enum bfcp_prim prim, enum bfcp_attrib what, uint16_t *value)
{
	const unsigned count = value ? 1 : 0;

	if (conn) {
		if (bfcp_request(conn, &peer, BFCP_VER2, prim, conference, user, on_answer, NULL,
				 count, what, 0, value))
			fail("not asked");
		return;
	}
	struct mbuf *mb = mbuf_alloc(128);
	bfcp_msg_encode(mb, BFCP_VER1, false, prim, conference, ++transaction, user, count, what, 0,
			value);
	flush(mb);
}

/* A server's word on a request: an answer, or one that nobody asked for. */
static void tell(const struct bfcp_msg *msg, enum bfcp_prim prim, uint16_t id, uint16_t whom,
		 enum bfcp_reqstat how)
{
	struct bfcp_reqstatus status = {how, 0};
	const bool of_floor = prim == BFCP_FLOOR_STATUS;
	const unsigned count = (of_floor ? 1 : 0) + (how ? 1 : 0);
#define INFO                                                                                       \
	BFCP_FLOOR_REQ_INFO, 3, &id, BFCP_OVERALL_REQ_STATUS, 1, &id, BFCP_REQUEST_STATUS, 0,      \
		&status, BFCP_FLOOR_REQ_STATUS, 0, &floor_id, BFCP_BENEFICIARY_INFO, 0, &whom
	if (conn && msg && of_floor)
		bfcp_reply(conn, msg, prim, count, BFCP_FLOOR_ID, 0, &floor_id, INFO);
	else if (conn && msg)
		bfcp_reply(conn, msg, prim, count, INFO);
	else if (conn && of_floor)
		bfcp_notify(conn, &peer, BFCP_VER2, prim, conference, user, count, BFCP_FLOOR_ID, 0,
			    &floor_id, INFO);
	else if (conn)
		bfcp_notify(conn, &peer, BFCP_VER2, prim, conference, user, count, INFO);
	if (conn)
		return;
	struct mbuf *mb = mbuf_alloc(128);
	const uint16_t number = msg ? msg->tid : 0;
	if (of_floor)
		bfcp_msg_encode(mb, BFCP_VER1, false, prim, conference, number, user, count,
				BFCP_FLOOR_ID, 0, &floor_id, INFO);
	else
		bfcp_msg_encode(mb, BFCP_VER1, false, prim, conference, number, user, count, INFO);
	flush(mb);
}

static void acknowledge(const struct bfcp_msg *msg, enum bfcp_prim prim)
{
	if (conn) {
		bfcp_reply(conn, msg, prim, 0);
		return;
	}
	/* Only a hello is answered over TCP. */
	if (prim != BFCP_HELLO_ACK)
		return;
	struct mbuf *mb = mbuf_alloc(128);
	bfcp_msg_encode(mb, BFCP_VER1, false, prim, conference, msg->tid, user, 0);
	flush(mb);
}

/* How the request in a message stands; 0 where it has none. */
static enum bfcp_reqstat standing(const struct bfcp_msg *msg, uint16_t *id, uint16_t *whom)
{
	struct bfcp_attr *info = bfcp_msg_attr(msg, BFCP_FLOOR_REQ_INFO);
	struct bfcp_attr *all = info ? bfcp_attr_subattr(info, BFCP_OVERALL_REQ_STATUS) : NULL;
	struct bfcp_attr *status = all ? bfcp_attr_subattr(all, BFCP_REQUEST_STATUS) : NULL;
	struct bfcp_attr *person = info ? bfcp_attr_subattr(info, BFCP_BENEFICIARY_INFO) : NULL;

	if (!status)
		return 0;
	*id = info->v.floorreqid;
	*whom = person ? person->v.beneficiaryid : 0;
	return status->v.reqstatus.status;
}

/* What a server hears. */
static void serve(const struct bfcp_msg *msg)
{
	if (msg->prim == BFCP_HELLO) {
		say("hello");
		acknowledge(msg, BFCP_HELLO_ACK);
	}
	else if (msg->prim == BFCP_FLOOR_QUERY) {
		tell(msg, BFCP_FLOOR_STATUS, 9, user + 1, theirs);
	}
	else if (msg->prim == BFCP_FLOOR_REQUEST) {
		say("asked");
		tell(msg, BFCP_FLOOR_REQUEST_STATUS, request_of_server, user, BFCP_GRANTED);
	}
	else if (msg->prim == BFCP_FLOOR_RELEASE) {
		say("given back");
		tell(msg, BFCP_FLOOR_REQUEST_STATUS, request_of_server, user, BFCP_RELEASED);
	}
}

/* What either hears. */
static void on_message(const struct bfcp_msg *msg)
{
	uint16_t id = 0, whom = 0;
	const enum bfcp_reqstat status = standing(msg, &id, &whom);

	if (msg->confid != conference || msg->userid != user)
		return fail("of somebody else");
	if (server)
		return serve(msg);
	switch (msg->prim) {

	case BFCP_HELLO_ACK:
		say("hello");
		ask(BFCP_FLOOR_QUERY, BFCP_FLOOR_ID, &floor_id);
		break;

	case BFCP_FLOOR_REQUEST_STATUS:
		if (conn && !msg->r)
			acknowledge(msg, BFCP_FLOOR_REQ_STATUS_ACK);
		request = id;
		say(bfcp_reqstatus_name(status));
		break;

	case BFCP_FLOOR_STATUS:
		if (conn && !msg->r)
			acknowledge(msg, BFCP_FLOOR_STATUS_ACK);
		say(status != BFCP_GRANTED ? "free" : whom == user ? "ours" : "theirs");
		break;

	default:
		say(bfcp_prim_name(msg->prim));
		break;
	}
}

static void on_datagram(const struct bfcp_msg *msg, void *arg)
{
	(void)arg;
	peer = msg->src;
	on_message(msg);
}

/* Cuts a stream into messages, whose header has the length of the rest in words. */
static void on_stream(struct mbuf *mb, void *arg)
{
	(void)arg;
	stream->pos = stream->end;
	mbuf_write_mem(stream, mbuf_buf(mb), mbuf_get_left(mb));
	stream->pos = 0;
	while (mbuf_get_left(stream) >= 12) {
		const uint8_t *head = mbuf_buf(stream);
		const size_t whole = 12 + 4 * (head[2] << 8 | head[3]);
		struct bfcp_msg *msg = NULL;
		if (mbuf_get_left(stream) < whole)
			break;
		const size_t after = stream->pos + whole;
		if (bfcp_msg_decode(&msg, stream))
			return fail("unreadable");
		on_message(msg);
		mem_deref(msg);
		stream->pos = after;
	}
	const size_t left = mbuf_get_left(stream);
	memmove(stream->buf, mbuf_buf(stream), left);
	stream->pos = 0;
	stream->end = left;
}

static void on_closed(int err, void *arg)
{
	(void)err;
	(void)arg;
	tcp = mem_deref(tcp);
	say("closed");
}

/* Over TLS it has shaken hands already. */
static bool is_peer(void)
{
	uint8_t digest[32];
	char text[3 * sizeof(digest) + 1] = "";

	if (tls_peer_fingerprint(secured, TLS_FINGERPRINT_SHA256, digest, sizeof(digest)))
		return false;
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(text + 3 * i, 4, "%02X:", digest[i]);
	return !strncasecmp(text, fingerprint, 3 * sizeof(digest) - 1);
}

static void on_connected(void *arg)
{
	(void)arg;
	if (tls && !is_peer())
		return fail("somebody else's certificate");
	say(tls ? "secured" : "connected");
	if (!server)
		ask(BFCP_HELLO, 0, NULL);
}

/* Has a connection tell of itself once it has shaken hands. */
static int secure(void)
{
	return tls ? tls_start_tcp(&secured, tls, tcp, 0) : 0;
}

static void on_caller(const struct sa *from, void *arg)
{
	(void)from;
	if (tcp)
		tcp_reject(door);
	else if (tcp_accept(&tcp, door, on_connected, on_stream, on_closed, arg) || secure())
		fail("not accepted");
}

static void on_input(int flags, void *arg)
{
	char order[16];
	const ssize_t length = read(STDIN_FILENO, order, sizeof(order));
	(void)flags;
	(void)arg;

	if (length <= 0)
		re_cancel();
	for (ssize_t i = 0; i < length; i++) {
		if (order[i] == 'a')
			ask(BFCP_FLOOR_REQUEST, BFCP_FLOOR_ID, &floor_id);
		else if (order[i] == 'r' && !server)
			ask(BFCP_FLOOR_RELEASE, BFCP_FLOOR_REQUEST_ID, &request);
		else if (order[i] == 'r')
			tell(NULL, BFCP_FLOOR_REQUEST_STATUS, request_of_server, user, BFCP_REVOKED);
		else if (order[i] == 's' || order[i] == 'e') {
			theirs = order[i] == 's' ? BFCP_GRANTED : 0;
			tell(NULL, BFCP_FLOOR_STATUS, 9, user + 1, theirs);
		}
	}
}

static int begin(bool over_tcp, const struct sa *own, const char *certificate)
{
	if (certificate) {
		if (tls_alloc(&tls, TLS_METHOD_SSLV23, certificate, NULL))
			return 1;
		tls_set_verify_client(tls);
	}
	stream = mbuf_alloc(512);
	if (!over_tcp && bfcp_listen(&conn, BFCP_UDP, (struct sa *)own, NULL, on_datagram, NULL))
		return 1;
	if (over_tcp && sa_port(&peer))
		return tcp_connect(&tcp, &peer, on_connected, on_stream, on_closed, NULL) ||
		       secure();
	if (over_tcp)
		return tcp_listen(&door, own, on_caller, NULL);
	if (!server)
		ask(BFCP_HELLO, 0, NULL);
	return 0;
}

int main(int argc, char *argv[])
{
	struct sa own;

	if ((argc != 8 && argc != 10) || libre_init())
		return 2;
	server = !strcmp(argv[1], "server");
	sa_set_str(&own, "127.0.0.1", (uint16_t)atoi(argv[3]));
	sa_set_str(&peer, "127.0.0.1", (uint16_t)atoi(argv[4]));
	conference = (uint32_t)strtoul(argv[5], NULL, 10);
	user = (uint16_t)atoi(argv[6]);
	floor_id = (uint16_t)atoi(argv[7]);
	fingerprint = argc == 10 ? argv[9] : NULL;
	if (fd_listen(STDIN_FILENO, FD_READ, on_input, NULL) ||
	    begin(strcmp(argv[2], "udp"), &own, argc == 10 ? argv[8] : NULL))
		return 2;
	re_main(NULL);
	mem_deref(secured);
	mem_deref(tcp);
	mem_deref(door);
	mem_deref(tls);
	mem_deref(conn);
	mem_deref(stream);
	libre_close();
	return 0;
}
