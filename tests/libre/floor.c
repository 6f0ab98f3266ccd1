/* A floor control client on libre: asks for the floor, loses it, asks again and gives it back.
 * What happens to it stands in its output, a word a line.
 *
 * floor SERVER-PORT CONFERENCE USER FLOOR */

#include <re.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bfcp_conn *conn;
static struct sa server;
static uint32_t conference;
static uint16_t user, floor_id;
static bool lost;

static void say(const char *word)
{
	printf("%s\n", word);
	fflush(stdout);
}

static void end(const char *why)
{
	say(why);
	re_cancel();
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

static void on_released(int err, const struct bfcp_msg *msg, void *arg)
{
	uint16_t id, whom;
	(void)arg;
	end(!err && standing(msg, &id, &whom) == BFCP_RELEASED ? "released" : "not released");
}

static void on_floor(int err, const struct bfcp_msg *msg, void *arg)
{
	uint16_t id = 0, whom;
	(void)arg;
	if (err || standing(msg, &id, &whom) != BFCP_GRANTED)
		return end("not granted");
	say("granted");
	/* The first time it waits to lose it. */
	if (lost && bfcp_request(conn, &server, BFCP_VER2, BFCP_FLOOR_RELEASE, conference, user,
				 on_released, NULL, 1, BFCP_FLOOR_REQUEST_ID, 0, &id))
		end("cannot release");
}

static void ask(void)
{
	if (bfcp_request(conn, &server, BFCP_VER2, BFCP_FLOOR_REQUEST, conference, user,
			 on_floor, NULL, 1, BFCP_FLOOR_ID, 0, &floor_id))
		end("cannot ask");
}

static void on_query(int err, const struct bfcp_msg *msg, void *arg)
{
	(void)arg;
	if (err || msg->prim != BFCP_FLOOR_STATUS)
		return end("no floor status");
	say("status");
	ask();
}

static void on_hello(int err, const struct bfcp_msg *msg, void *arg)
{
	(void)arg;
	if (err || msg->prim != BFCP_HELLO_ACK)
		return end("no hello");
	say("hello");
	if (bfcp_request(conn, &server, BFCP_VER2, BFCP_FLOOR_QUERY, conference, user,
			 on_query, NULL, 1, BFCP_FLOOR_ID, 0, &floor_id))
		end("cannot query");
}

/* What the server says of itself. */
static void on_news(const struct bfcp_msg *msg, void *arg)
{
	uint16_t id, whom = 0;
	enum bfcp_reqstat status = standing(msg, &id, &whom);
	(void)arg;
	if (msg->prim == BFCP_FLOOR_REQUEST_STATUS) {
		bfcp_reply(conn, msg, BFCP_FLOOR_REQ_STATUS_ACK, 0);
		if (status == BFCP_REVOKED)
			say("revoked");
	}
	else if (msg->prim == BFCP_FLOOR_STATUS) {
		bfcp_reply(conn, msg, BFCP_FLOOR_STATUS_ACK, 0);
		if (status == BFCP_GRANTED && whom != user && !lost) {
			say("theirs");
			lost = true;
			ask();
		}
	}
}

int main(int argc, char *argv[])
{
	struct sa local;

	if (argc != 5 || libre_init())
		return 2;
	sa_set_str(&server, "127.0.0.1", (uint16_t)atoi(argv[1]));
	sa_set_str(&local, "127.0.0.1", 0);
	conference = (uint32_t)strtoul(argv[2], NULL, 10);
	user = (uint16_t)atoi(argv[3]);
	floor_id = (uint16_t)atoi(argv[4]);
	if (bfcp_listen(&conn, BFCP_UDP, &local, NULL, on_news, NULL))
		return 2;
	if (bfcp_request(conn, &server, BFCP_VER2, BFCP_HELLO, conference, user, on_hello, NULL, 0))
		return 2;
	re_main(NULL);
	mem_deref(conn);
	libre_close();
	return 0;
}
