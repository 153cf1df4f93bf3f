// Command natsgo runs what programs do with nats.go against a server: core messages, both JetStream APIs, key-value,
// object store, and the calls that ocis makes (events, registry, stores), with its client library's version.
//
// usage: natsgo URL[,URL...] [case]    prints "ok case" for each; the first failure ends it with status 1.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

const wait = 10 * time.Second

type testCase struct {
	name string
	run  func(nc *nats.Conn)
}

var cases = []testCase{
	{"core pubsub", corePubSub},
	{"core queue and request", coreRequest},
	{"core drain", coreDrain},
	{"js publish", jsPublish},
	{"js queue subscribe", jsQueueSubscribe},
	{"js pull subscribe", jsPullSubscribe},
	{"js ordered", jsOrdered},
	{"jetstream consume", jetstreamConsume},
	{"jetstream fetch", jetstreamFetch},
	{"jetstream ordered", jetstreamOrdered},
	{"jetstream lists", jetstreamLists},
	{"kv", kvBasics},
	{"kv watch", kvWatch},
	{"kv ttl", kvTTL},
	{"object store", objectStore},
	{"ocis events", ocisEvents},
	{"ocis rebind", ocisRebind},
	{"ocis race", ocisRace},
	{"ocis registry", ocisRegistry},
	{"ocis store", ocisStore},
}

// must ends the program with what went wrong and where.
func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func want(good bool, format string, args ...any) {
	if !good {
		fail(format, args...)
	}
}

var current string

func fail(format string, args ...any) {
	fmt.Printf("FAIL %s: %s\n", current, fmt.Sprintf(format, args...))
	os.Exit(1)
}

// receive takes so many values, or fails.
func receive[T any](from <-chan T, count int, what string) []T {
	var got []T
	timeout := time.After(wait)
	for len(got) < count {
		select {
		case v := <-from:
			got = append(got, v)
		case <-timeout:
			fail("%s: %d of %d came", what, len(got), count)
		}
	}
	return got
}

func connect(urls string) *nats.Conn {
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.Timeout(2*time.Second))
	must(err, "connect")
	return nc
}

func main() {
	if len(os.Args) < 2 {
		fmt.Println("usage: natsgo URL[,URL...] [case]")
		os.Exit(2)
	}
	for _, c := range cases {
		if len(os.Args) > 2 && os.Args[2] != c.name {
			continue
		}
		current = c.name
		nc := connect(os.Args[1])
		start := time.Now()
		c.run(nc)
		nc.Close()
		fmt.Printf("ok %s (%.2f s)\n", c.name, time.Since(start).Seconds())
	}
}
