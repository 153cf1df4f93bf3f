/* main.c - what programs do with libnats (Debian's nats.c 3.4) against a server.
 * usage: main URL[,URL...]   prints "ok case" for each; the first failure ends it with status 1. */
#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 10000

static const char *current = "";

static void fail(const char *what, natsStatus s)
{
    printf("FAIL %s: %s: %s %s\n", current, what, natsStatus_GetText(s), nats_GetLastError(NULL));
    exit(1);
}

static void must(natsStatus s, const char *what)
{
    if (s != NATS_OK) fail(what, s);
}

static void want(bool good, const char *what)
{
    if (!good) fail(what, NATS_OK);
}

static void core(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    must(natsConnection_SubscribeSync(&sub, nc, "c.*"), "subscribe");
    for (int i = 0; i < 100; i++) {
        natsMsg *msg = NULL;
        char text[16];
        int bytes = snprintf(text, sizeof text, "%d", i);
        must(natsMsg_Create(&msg, "c.x", NULL, text, bytes), "message");
        must(natsMsgHeader_Set(msg, "K", text), "header");
        must(natsConnection_PublishMsg(nc, msg), "publish");
        natsMsg_Destroy(msg);
    }
    for (int i = 0; i < 100; i++) {
        natsMsg *msg = NULL;
        const char *value = NULL;
        must(natsSubscription_NextMsg(&msg, sub, WAIT_MS), "next");
        must(natsMsgHeader_Get(msg, "K", &value), "header");
        want(atoi(natsMsg_GetData(msg)) == i && atoi(value) == i, "order");
        natsMsg_Destroy(msg);
    }
    natsSubscription_Destroy(sub);
}

static void echo(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)sub;
    (void)closure;
    natsConnection_Publish(nc, natsMsg_GetReply(msg), natsMsg_GetData(msg),
                           natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static void request(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    natsMsg *answer = NULL;
    must(natsConnection_QueueSubscribe(&sub, nc, "c.echo", "q", echo, NULL), "subscribe");
    must(natsConnection_Flush(nc), "flush");
    must(natsConnection_RequestString(&answer, nc, "c.echo", "hi", WAIT_MS), "request");
    want(strcmp(natsMsg_GetData(answer), "hi") == 0, "answer");
    natsMsg_Destroy(answer);
    answer = NULL;
    want(natsConnection_RequestString(&answer, nc, "c.nobody", "hi", WAIT_MS) == NATS_NO_RESPONDERS,
         "no responders");
    natsSubscription_Destroy(sub);
}

static jsCtx *fresh(natsConnection *nc, const char *name, const char *subject)
{
    jsCtx *js = NULL;
    jsStreamConfig config;
    jsStreamInfo *info = NULL;
    const char *subjects[] = {subject};
    must(natsConnection_JetStream(&js, nc, NULL), "context");
    (void)js_DeleteStream(js, name, NULL, NULL);
    jsStreamConfig_Init(&config);
    config.Name = name;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    must(js_AddStream(&info, js, &config, NULL, NULL), "add stream");
    jsStreamInfo_Destroy(info);
    return js;
}

static void fill(jsCtx *js, const char *subject, int count)
{
    for (int i = 0; i < count; i++) {
        char text[16];
        jsPubAck *ack = NULL;
        int bytes = snprintf(text, sizeof text, "%d", i);
        must(js_Publish(&ack, js, subject, text, bytes, NULL, NULL), "publish");
        want(ack->Sequence == (uint64_t)i + 1, "sequence");
        jsPubAck_Destroy(ack);
    }
}

static void js_publish(natsConnection *nc)
{
    jsCtx *js = fresh(nc, "CPUB", "cpub.>");
    jsPubAck *ack = NULL;
    jsPubOptions options;
    jsErrCode code = 0;
    fill(js, "cpub.a", 50);
    jsPubOptions_Init(&options);
    options.MsgId = "id";
    must(js_Publish(&ack, js, "cpub.a", "x", 1, &options, NULL), "publish");
    jsPubAck_Destroy(ack);
    must(js_Publish(&ack, js, "cpub.a", "x", 1, &options, NULL), "publish again");
    want(ack->Duplicate && ack->Sequence == 51, "duplicate");
    jsPubAck_Destroy(ack);
    jsPubOptions_Init(&options);
    options.ExpectLastSeq = 7;
    want(js_Publish(&ack, js, "cpub.a", "x", 1, &options, &code) == NATS_ERR && code == 10071,
         "expected sequence");
    for (int i = 0; i < 200; i++)
        must(js_PublishAsync(js, "cpub.b", "y", 1, NULL), "publish async");
    must(js_PublishAsyncComplete(js, NULL), "publish async complete");
    jsStreamInfo *info = NULL;
    must(js_GetStreamInfo(&info, js, "CPUB", NULL, NULL), "stream info");
    want(info->State.Msgs == 251, "messages");
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
}

static void pull(natsConnection *nc)
{
    jsCtx *js = fresh(nc, "CPULL", "cpull.>");
    natsSubscription *sub = NULL;
    jsErrCode code = 0;
    int got = 0;
    fill(js, "cpull.a", 30);
    must(js_PullSubscribe(&sub, js, "cpull.>", "durable", NULL, NULL, &code), "pull subscribe");
    while (got < 30) {
        natsMsgList list = {0};
        must(natsSubscription_Fetch(&list, sub, 7, 2000, &code), "fetch");
        for (int i = 0; i < list.Count; i++) {
            want(atoi(natsMsg_GetData(list.Msgs[i])) == got++, "order");
            must(natsMsg_AckSync(list.Msgs[i], NULL, &code), "ack");
        }
        natsMsgList_Destroy(&list);
    }
    natsMsgList none = {0};
    want(natsSubscription_Fetch(&none, sub, 1, 300, &code) == NATS_TIMEOUT, "fetch of nothing");
    natsSubscription_Unsubscribe(sub);
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
}

static void push(natsConnection *nc)
{
    jsCtx *js = fresh(nc, "CPUSH", "cpush.>");
    natsSubscription *sub = NULL;
    jsSubOptions options;
    jsErrCode code = 0;
    jsSubOptions_Init(&options);
    options.Config.Durable = "p";
    must(js_SubscribeSync(&sub, js, "cpush.>", NULL, &options, &code), "subscribe");
    fill(js, "cpush.a", 50);
    for (int i = 0; i < 50; i++) {
        natsMsg *msg = NULL;
        must(natsSubscription_NextMsg(&msg, sub, WAIT_MS), "next");
        want(atoi(natsMsg_GetData(msg)) == i, "order");
        must(natsMsg_Ack(msg, NULL), "ack");
        natsMsg_Destroy(msg);
    }
    natsSubscription_Unsubscribe(sub);
    natsSubscription_Destroy(sub);
    jsSubOptions_Init(&options);
    options.Ordered = true;
    must(js_SubscribeSync(&sub, js, "cpush.>", NULL, &options, &code), "ordered subscribe");
    for (int i = 0; i < 50; i++) {
        natsMsg *msg = NULL;
        must(natsSubscription_NextMsg(&msg, sub, WAIT_MS), "next");
        want(atoi(natsMsg_GetData(msg)) == i, "order");
        natsMsg_Destroy(msg);
    }
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
}

static void kv(natsConnection *nc)
{
    jsCtx *js = NULL;
    kvStore *store = NULL;
    kvConfig config;
    kvEntry *entry = NULL;
    kvWatcher *watcher = NULL;
    uint64_t revision = 0;
    must(natsConnection_JetStream(&js, nc, NULL), "context");
    (void)js_DeleteKeyValue(js, "CKV");
    kvConfig_Init(&config);
    config.Bucket = "CKV";
    config.History = 3;
    must(js_CreateKeyValue(&store, js, &config), "create bucket");
    must(kvStore_PutString(&revision, store, "a", "1"), "put");
    must(kvStore_UpdateString(&revision, store, "a", "2", revision), "update");
    want(kvStore_UpdateString(NULL, store, "a", "3", revision - 1) != NATS_OK,
         "update at an old revision");
    want(kvStore_CreateString(NULL, store, "a", "3") != NATS_OK, "create over a value");
    must(kvStore_Get(&entry, store, "a"), "get");
    want(strcmp(kvEntry_ValueString(entry), "2") == 0, "value");
    kvEntry_Destroy(entry);
    must(kvStore_WatchAll(&watcher, store, NULL), "watch");
    must(kvWatcher_Next(&entry, watcher, WAIT_MS), "watch next");
    want(entry != NULL && strcmp(kvEntry_Key(entry), "a") == 0, "watched key");
    kvEntry_Destroy(entry);
    must(kvWatcher_Next(&entry, watcher, WAIT_MS), "end of initial values");
    want(entry == NULL, "end of initial values");
    must(kvStore_Delete(store, "a"), "delete");
    must(kvWatcher_Next(&entry, watcher, WAIT_MS), "watch next");
    want(entry != NULL && kvEntry_Operation(entry) == kvOp_Delete, "watched delete");
    kvEntry_Destroy(entry);
    kvWatcher_Destroy(watcher);
    want(kvStore_Get(&entry, store, "a") == NATS_NOT_FOUND, "deleted key");
    kvStore_Destroy(store);
    jsCtx_Destroy(js);
}

static const struct {
    const char *name;
    void (*run)(natsConnection *);
} cases[] = {
    {"core", core}, {"request", request}, {"js publish", js_publish},
    {"pull", pull}, {"push", push},       {"kv", kv},
};

int main(int argc, char **argv)
{
    natsOptions *options = NULL;
    const char *servers[16];
    int count = 0;
    if (argc < 2) return 2;
    for (char *url = strtok(argv[1], ","); url != NULL && count < 16; url = strtok(NULL, ","))
        servers[count++] = url;
    must(natsOptions_Create(&options), "options");
    must(natsOptions_SetServers(options, servers, count), "servers");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        natsConnection *nc = NULL;
        current = cases[i].name;
        must(natsConnection_Connect(&nc, options), "connect");
        cases[i].run(nc);
        natsConnection_Destroy(nc);
        printf("ok %s\n", current);
    }
    natsOptions_Destroy(options);
    nats_Close();
    return 0;
}
