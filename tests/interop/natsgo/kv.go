package main

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func bucket(nc *nats.Conn, config jetstream.KeyValueConfig) jetstream.KeyValue {
	js, err := jetstream.New(nc)
	must(err, "context")
	_ = js.DeleteKeyValue(timeout(), config.Bucket)
	kv, err := js.CreateKeyValue(timeout(), config)
	must(err, "create bucket")
	return kv
}

func kvBasics(nc *nats.Conn) {
	kv := bucket(nc, jetstream.KeyValueConfig{Bucket: "basics", History: 5})
	rev, err := kv.Put(timeout(), "a", []byte("1"))
	must(err, "put")
	want(rev == 1, "revision %d", rev)
	_, err = kv.Create(timeout(), "a", []byte("2"))
	want(errors.Is(err, jetstream.ErrKeyExists), "create over a value: %v", err)
	rev, err = kv.Update(timeout(), "a", []byte("2"), 1)
	must(err, "update")
	_, err = kv.Update(timeout(), "a", []byte("3"), 1)
	want(err != nil, "an update at an old revision passed")
	entry, err := kv.Get(timeout(), "a")
	must(err, "get")
	want(string(entry.Value()) == "2" && entry.Revision() == rev, "entry %q %d", entry.Value(), entry.Revision())
	history, err := kv.History(timeout(), "a")
	must(err, "history")
	want(len(history) == 2, "%d in history", len(history))
	must(kv.Delete(timeout(), "a"), "delete")
	_, err = kv.Get(timeout(), "a")
	want(errors.Is(err, jetstream.ErrKeyNotFound), "deleted key: %v", err)
	_, err = kv.Create(timeout(), "a", []byte("again"))
	must(err, "create over a delete")
	must(kv.Purge(timeout(), "a"), "purge")
	for i := 0; i < 50; i++ {
		_, err := kv.Put(timeout(), fmt.Sprintf("k.%d", i), []byte("v"))
		must(err, "put")
	}
	keys, err := kv.Keys(timeout())
	must(err, "keys")
	want(len(keys) == 50, "%d keys", len(keys))
	status, err := kv.Status(timeout())
	must(err, "status")
	want(status.History() == 5, "history %d", status.History())
}

func kvWatch(nc *nats.Conn) {
	kv := bucket(nc, jetstream.KeyValueConfig{Bucket: "watched"})
	for _, k := range []string{"a", "b", "a"} {
		_, err := kv.Put(timeout(), k, []byte(k))
		must(err, "put")
	}
	w, err := kv.WatchAll(timeout())
	must(err, "watch")
	var first []string
	for _, e := range receive(w.Updates(), 3, "initial values") {
		if e != nil {
			first = append(first, e.Key())
		}
	}
	sort.Strings(first)
	want(fmt.Sprint(first) == "[a b]", "initial values %v", first)
	for i := 0; i < 200; i++ {
		_, err := kv.Put(timeout(), "n", []byte(fmt.Sprint(i)))
		must(err, "put")
	}
	// A value may be overwritten before it is delivered; what comes is in order, and the last one comes.
	for last := -1; last < 199; {
		var n int
		e := receive(w.Updates(), 1, "updates")[0]
		_, err := fmt.Sscan(string(e.Value()), &n)
		must(err, "a number")
		want(n > last, "update %d after %d", n, last)
		last = n
	}
	must(kv.Delete(timeout(), "n"), "delete")
	want(receive(w.Updates(), 1, "the delete")[0].Operation() == jetstream.KeyValueDelete, "no delete")
	must(w.Stop(), "stop")
}

func kvTTL(nc *nats.Conn) {
	kv := bucket(nc, jetstream.KeyValueConfig{Bucket: "short", TTL: time.Second, Storage: jetstream.MemoryStorage})
	_, err := kv.Put(timeout(), "a", []byte("1"))
	must(err, "put")
	_, err = kv.Get(timeout(), "a")
	must(err, "get")
	deadline := time.Now().Add(wait)
	for {
		if _, err := kv.Get(timeout(), "a"); errors.Is(err, jetstream.ErrKeyNotFound) {
			return
		}
		want(time.Now().Before(deadline), "the key outlives its time")
		time.Sleep(50 * time.Millisecond)
	}
}

// Events of ocis: one stream, one subject, a durable push consumer with a deliver group for each service.
func ocisEvents(nc *nats.Conn) {
	js := oldJS(nc, "main-queue", "main-queue")
	const services, events = 4, 100
	got := make(chan string, services*events*2)
	for s := 0; s < services; s++ {
		for replica := 0; replica < 2; replica++ {
			name := fmt.Sprintf("service-%d", s)
			_, err := js.QueueSubscribe("main-queue", name, func(m *nats.Msg) {
				got <- name + string(m.Data)
			}, nats.Durable(name), nats.DeliverNew(), nats.AckExplicit())
			must(err, "queue subscribe")
		}
	}
	fill(js, "main-queue", events)
	seen := map[string]bool{}
	for _, s := range receive(got, services*events, "events") {
		want(!seen[s], "event %s came twice", s)
		seen[s] = true
	}
}

// The registry of ocis: a memory bucket with a time to live; each read is a watch of all keys and a get.
func ocisRegistry(nc *nats.Conn) {
	js, err := nc.JetStream(nats.MaxWait(wait))
	must(err, "context")
	_ = js.DeleteKeyValue("service-registry")
	kv, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "service-registry", TTL: 30 * time.Second,
		Storage: nats.MemoryStorage})
	must(err, "create bucket")
	for i := 0; i < 40; i++ {
		_, err := kv.Put(fmt.Sprintf("ONQXE5TJMNSS4%d", i), []byte(`{"name":"com.owncloud.api.x"}`))
		must(err, "put")
	}
	watcher, err := kv.WatchAll()
	must(err, "watch")
	for round := 0; round < 20; round++ {
		keys, err := kv.Keys()
		must(err, "keys")
		want(len(keys) == 40, "%d keys", len(keys))
		_, err = kv.Get(keys[round])
		must(err, "get")
	}
	receive(watcher.Updates(), 41, "the watch")
	must(kv.Delete("ONQXE5TJMNSS40"), "delete")
	want(receive(watcher.Updates(), 1, "the delete")[0].Operation() == nats.KeyValueDelete, "no delete")
	_, err = js.StreamInfo("KV_service-registry")
	must(err, "stream info")
	must(watcher.Stop(), "stop")
}

// Stores of ocis: values of many sizes, long keys, lists by prefix.
func ocisStore(nc *nats.Conn) {
	kv := bucket(nc, jetstream.KeyValueConfig{Bucket: "activitylog"})
	sizes := []int{0, 1, 1000, 100_000, 850_000}
	for round := 0; round < 3; round++ {
		for i, size := range sizes {
			value := bytes.Repeat([]byte{byte('a' + round)}, size)
			_, err := kv.Put(timeout(), fmt.Sprintf("key%d", i), value)
			must(err, "put")
			e, err := kv.Get(timeout(), fmt.Sprintf("key%d", i))
			must(err, "get")
			want(bytes.Equal(e.Value(), value), "value of %d bytes", size)
		}
	}
	long := string(bytes.Repeat([]byte("k"), 3000))
	_, err := kv.Put(timeout(), long, []byte("x"))
	must(err, "put of a long key")
	_, err = kv.Get(timeout(), long)
	must(err, "get of a long key")
	lister, err := kv.ListKeys(timeout())
	must(err, "list keys")
	count := 0
	for range lister.Keys() {
		count++
	}
	want(count == len(sizes)+1, "%d keys", count)
}
